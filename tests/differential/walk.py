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
from .objects import again, kind
from .scenarios import CHANGING, SCENARIOS


class Answers:
    """What a client answered, by the name of the question, in the order asked."""

    def __init__(self, *, costly: bool = False) -> None:
        self.by_key: dict[str, Answer] = {}
        self.costly = costly

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
    answers = Answers(costly=kind(root) == "service")
    module = importlib.import_module(client)
    if client == "metaflow" and kind(root) == "service" and scenario not in CHANGING:
        remember_answers()
    try:
        SCENARIOS[scenario](module, root, answers)
    except Exception as error:  # what was answered until then is compared, and so is the end
        traceback.print_exc()
        answers(ENDED, lambda error=error: again(error))
    pathlib.Path(out).write_text(answers.text(names_of(root)))


def remember_answers() -> None:
    """Let this process ask a service for each thing once, and answer the same question itself from then on.

    Metaflow's client asks for the same up to a hundred times; what it makes of the answers is its own.
    """
    import requests  # only Metaflow's interpreter needs to have it

    known: dict[str, Value] = {}
    send = requests.Session.send

    def remembered(session: Value, request: Value, **options: Value) -> Value:
        if request.method != "GET":
            return send(session, request, **options)
        if request.url not in known:
            known[request.url] = send(session, request, **options)
        return known[request.url]

    requests.Session.send = remembered


def names_of(root: str) -> list[str]:
    """Return every text that stands for a root in what was recorded and answered."""
    if kind(root) == "service":
        return [root]
    path = pathlib.Path(root)
    aliases = path / ALIASES
    others = json.loads(aliases.read_text()) if aliases.is_file() else []
    return [root, str(path.resolve()), *others]


if __name__ == "__main__":
    main(*sys.argv[1:])
