"""Placeholders leave the process that loaded them."""

from __future__ import annotations

import copy
import pickle
import pickletools
from typing import Any

import pytest

import mfc
from mfc import Placeholder, Trust, unpickle
from mfc._pickle import loads
from mfc.model import MetadataRecord

from .faraway import Results

#: A list subclass, made with an argument, with a state and two elements; then its bare class.
STORED = (
    b"\x80\x02(cgone.shop\nBasket\nq\x00X\x04\x00\x00\x00fullq\x01\x85q\x02Rq\x03"
    b"}q\x04X\x05\x00\x00\x00ownerX\x03\x00\x00\x00adasb(K\x01K\x02eh\x00h\x03t."
)


def stored() -> Any:
    return loads(STORED, Trust.full(), subject="F/1/s/2/x")


def shown(value: tuple[Any, Any, Any]) -> list[object]:
    basket, kind, same = value
    assert basket is same
    assert type(basket) is kind
    assert isinstance(basket, Placeholder)
    return [
        basket.args, basket.kwargs, basket.state, basket.items, basket.raw,
        basket.install, basket.advice, repr(basket), repr(kind), kind.__name__,
    ]  # fmt: skip


def test_a_placeholder_comes_back_from_a_pickle_as_it_was() -> None:
    value = stored()
    assert value[0].args == ("full",)
    assert value[0].items == [1, 2]
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert shown(pickle.loads(pickle.dumps(value, protocol))) == shown(value)
    assert pickle.loads(pickle._dumps(value))[0].state == {"owner": "ada"}
    assert pickle.loads(pickle.dumps(Placeholder)) is Placeholder


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_name_only_public_modules(protocol: int) -> None:
    wrapped = mfc.MetaflowExceptionWrapper(ValueError("no"))
    frame = mfc.ForeachFrame("start", "x", 3, 0)
    again = pickle.loads(written := pickle.dumps([*stored(), wrapped, frame], protocol))
    assert (again[-1], str(again[-2])) == (frame, str(wrapped))
    modules = {
        argument.split()[0] if name == "GLOBAL" else argument
        for opcode, argument, _ in pickletools.genops(written)
        if (name := opcode.name) == "GLOBAL" or isinstance(argument, str)
    }
    assert {"mfc"} <= modules
    assert not [name for name in modules if name.startswith("mfc._")]


def test_a_placeholder_that_holds_itself_comes_back() -> None:
    basket = stored()[0]
    basket.state["self"] = basket
    basket.items.append(basket)
    made = pickle.loads(pickle.dumps(basket))
    assert made.state["self"] is made
    assert made.items[2] is made


def test_a_placeholder_can_be_copied() -> None:
    for copied in (copy.copy, copy.deepcopy):
        assert shown(copied(stored())) == shown(stored())


def test_a_placeholder_comes_to_life_when_its_class_can_be_imported(
    tmp_path: Any, monkeypatch: Any
) -> None:
    blob = b"\x80\x02(K\x01clate_module\nModel\n)\x81}X\x01\x00\x00\x00wK\x02sbl."
    one, missing = loads(blob, Trust.full())  # type: ignore[misc]
    assert (one, missing.state, missing.raw) == (1, {"w": 2}, blob)
    assert isinstance(missing.load(), Placeholder)
    (tmp_path / "late_module.py").write_text("class Model:\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert missing.load().w == 2
    assert pickle.loads(pickle.dumps(missing)).load().w == 2


def test_a_placeholder_names_the_installed_version() -> None:
    gone: Any = loads(b"cpluggy\nGone\n)R.", Trust.full())
    assert gone.install == "pluggy"
    assert gone.installed
    assert f"pluggy {gone.installed} is installed and has no pluggy.Gone" in gone.advice


def test_no_object_of_a_library_holds_a_placeholder() -> None:
    blob = b"\x80\x02]ccollections\nUserDict\n)\x81}X\x04\x00\x00\x00datacgone\nX\n)Rsba."
    (held,) = loads(blob, Trust.full())  # type: ignore[misc]
    assert isinstance(held, Placeholder) or not isinstance(held.data, Placeholder)


def test_hostile_names_are_shown_on_one_line() -> None:
    module, name = "mod\x1b[31m\n\u202e".encode(), b"Cls\x1b[31m"
    pickled = b"\x80\x04\x8c%c%b\x8c%c%b\x93)R." % (len(module), module, len(name), name)
    made = unpickle(pickled, "full")
    for text in (repr(made), str(made), repr(type(made)), type(made).__name__, made.advice):
        assert text.isprintable()
    assert "pip install" not in made.advice


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (None, "this run recorded none of it"),
        ("code-package", "run.code.extract() gives it"),
        ("origin-task-id", "run.code.extract() gives it if the run recorded its code"),
    ],
)
def test_advice_knows_whether_the_code_was_recorded(field: str | None, expected: str) -> None:
    results = Results()
    task = results.task("F/1/start/1")
    results.artifact(task, "model", b"c__main__\nModel\n)R.")
    if field is not None:
        results.metadata.append(MetadataRecord(task, field, "a value", field, 2000, 0))
    provider = results.provider()
    model = results.client(provider).task("F/1/start/1").data.model
    assert "metadata" not in [question for question, _ in provider.asked]  # only when it is shown
    assert model.advice.endswith(f"put that code on the path; {expected}")
    assert expected in repr(pickle.loads(pickle.dumps(model)))
