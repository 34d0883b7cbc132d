"""Ask one client every question, and write its answers down.

    python -m differential.walk metaflow ROOT SCENARIO ANSWERS.json
    python -m differential.walk mfc      ROOT SCENARIO ANSWERS.json

The parent folder of this package has to be on the module path. The module named is the client; only its public API
is used. Standard library only: the same files run under Metaflow's interpreter and under mfc's.
"""

from __future__ import annotations

import importlib
import json
import pathlib
import sys
import traceback
from collections.abc import Callable

from .aged import ALIASES
from .canonical import Answer, Value, answer
from .comparison import ENDED
from .objects import again
from .scenarios import SCENARIOS


class Answers:
    """What a client answered, by the name of the question, in the order asked."""

    def __init__(self) -> None:
        self.by_key: dict[str, Answer] = {}

    def __call__(self, key: str, question: Callable[..., Value]) -> None:
        """Ask `question` and note its answer under `key`; a name is used once."""
        if key in self.by_key:
            message = f"asked twice: {key}"
            raise ValueError(message)
        self.by_key[key] = answer(question)

    def text(self, roots: list[str]) -> str:
        """Return the answers as JSON, with every path in `roots` written as `<root>`."""
        written = json.dumps(self.by_key, indent=1)
        for root in sorted(roots, key=len, reverse=True):
            written = written.replace(json.dumps(root)[1:-1], "<root>")
        return written


def main(client: str, root: str, scenario: str, out: str) -> None:
    """Walk through one scenario with one client."""
    answers = Answers()
    path = pathlib.Path(root)
    roots = [root, str(path.resolve())]
    aliases = path / ALIASES
    if aliases.is_file():
        roots += json.loads(aliases.read_text())
    module = importlib.import_module(client)
    try:
        roots += SCENARIOS[scenario](module, root, answers) or []
    except Exception as error:  # what was answered until then is compared, and so is the end
        traceback.print_exc()
        answers(ENDED, lambda error=error: again(error))
    pathlib.Path(out).write_text(answers.text(roots))


if __name__ == "__main__":
    main(*sys.argv[1:])
