"""Placeholders leave the process that loaded them."""

from __future__ import annotations

import copy
import pickle
from typing import Any

from mfc import Placeholder, Trust
from mfc._pickle import loads

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
