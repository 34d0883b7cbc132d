"""Tables as values: types of columns, other forms, and how they are shown."""

from __future__ import annotations

import csv
import io
import pickle
import sys
from datetime import date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests import frames
from tests.frames import ALL, NOON, WEST

from mfc import Table, table
from mfc.errors import BadArgument, MetaflowDataMissing, MissingLibrary

from .faraway import step_of

GONE = MetaflowDataMissing("F/1/a/1/x", "s3://there", "its bytes are gone")
#: Cells of a column, and its type.
COLUMNS = [
    ([1, None, 3], "int"),
    ([2**63 - 1, -(2**63)], "int"),
    ([2**63], "object"),
    ([True, None], "bool"),
    ([True, 1], "object"),
    ([1, 2.5, None], "float"),
    ([2**53 + 1, 0.5], "object"),
    (["a", None], "str"),
    ([1, "a"], "object"),
    ([b"a"], "bytes"),
    ([NOON, WEST, None], "datetime"),
    ([datetime(2026, 3, 1)], "naive datetime"),
    ([NOON, datetime(2026, 3, 1)], "object"),
    ([date(2026, 3, 1)], "date"),
    ([date(2026, 3, 1), NOON], "object"),
    ([timedelta(seconds=1), None], "timedelta"),
    ([("a", "b"), (), None], "list[str]"),
    ([["a"], [1]], "object"),
    ([{"a": 1}], "object"),
    ([np.zeros(3)], "object"),
    ([1, GONE], "object"),
    ([None, None], "empty"),
    ([pd.NaT, NOON], "datetime"),
    ([], "empty"),
]


@pytest.mark.parametrize(("cells", "kind"), COLUMNS)
def test_the_type_of_a_column(cells: list[Any], kind: str) -> None:
    made = Table(("x",), [(cell,) for cell in cells])
    assert made.types == {"x": kind}
    assert len(made.to_pandas()) == len(made) == len(cells)
    assert repr(made)


def test_scalars_of_numpy_become_numbers() -> None:
    values = [np.int64(1), np.int32(2), None]
    found = table(step_of(3, lambda i: values[i]).client().step("F/1/fit"), "x")
    assert found.rows == ((None,), (2,), (1,))
    assert found.types == {"x": "int"}
    numbers = step_of(2, lambda i: np.float32(0.5) if i else np.bool_(True)).client()
    assert {type(row["x"]) for row in table(numbers.step("F/1/fit"), "x")} == {float, bool}


def test_rows_are_dicts_in_order() -> None:
    made = Table(("b", "a"), [[1, 2], [3, 4]])
    assert list(made) == made.to_dicts() == [{"b": 1, "a": 2}, {"b": 3, "a": 4}]
    assert list(made.to_dicts()[0]) == ["b", "a"]
    assert len(made) == 2


@pytest.mark.parametrize(
    "cell",
    [np.arange(3), pd.DataFrame({"a": [1]}), float("nan"), GONE, [np.arange(2)][0], {"a": 1}, "a"],
)
def test_tables_are_equal_by_content(cell: Any) -> None:
    one = Table(("x",), [(cell,)])
    again = pickle.loads(pickle.dumps(one))
    assert one == again
    assert hash(one) == hash(again)
    assert one != Table(("y",), [(cell,)])
    assert one != Table(("x",), [(cell,), (cell,)])
    assert one != Table(("x",), [(5,)])
    assert one != 5


def test_arrays_differ_in_a_single_element() -> None:
    first, second, longer = np.arange(3), np.array([0, 1, 9]), np.arange(4)
    assert Table(("x",), [(first,)]) != Table(("x",), [(second,)])
    assert Table(("x",), [(first,)]) != Table(("x",), [(longer,)])


@pytest.mark.parametrize("columns", [("a", "a"), ("a",)])
def test_rows_fit_their_columns(columns: tuple[str, ...]) -> None:
    with pytest.raises(BadArgument):
        Table(columns, [(1, 2)])


# CSV


def read(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


def test_csv_holds_every_cell() -> None:
    text = ALL.to_csv()
    assert text is not None
    header, first, missing, last = read(text)
    assert header == list(ALL.columns)
    assert first[:4] == ["1", "True", "1", "a"]
    assert first[5:] == ["2026-03-01T12:00:00+00:00", "2026-03-01T00:00:00", "2026-03-01", "86400.0", '["a"]', '{"k": [1]}', ""]  # fmt: skip
    assert missing == [""] * 12
    assert last[3] == "b\\ud800"


@pytest.mark.parametrize("text", ['say "hi"', "two\nlines", "a,b", "\r", " x ", "é日本", "'"])
def test_csv_quotes_what_needs_it(text: str) -> None:
    made = Table((text, "n"), [(text, 1)])
    for written in (made.to_csv(guard=False), made.to_csv()):
        assert written is not None
        header, row = read(written)
        assert [header[0].removeprefix("'") or "'", row[0].removeprefix("'") or "'"] == [text, text]
    assert read(made.to_csv(guard=False) or "") == [[text, "n"], [text, "1"]]


@pytest.mark.parametrize(
    "text", ["=1+1", "+a", "-a", "@sum", "\t=1", "\r=1", "=cmd|' /C'!A0", "-5 "]
)
def test_csv_holds_no_formula(text: str) -> None:
    made = Table((text, "y"), [(text, (text,)), (-5, -0.5)])
    header, first, second = read(made.to_csv() or "")
    assert header == [f"'{text}", "y"]
    assert first[0] == f"'{text}"
    assert first[1].startswith("[")
    assert second == ["-5", "-0.5"]
    assert read(made.to_csv(guard=False) or "")[1][0] == text


def test_text_that_is_a_number_stays_in_csv() -> None:
    assert read(Table(("x",), [("-5",), ("+1e3",)]).to_csv() or "")[1:] == [["-5"], ["+1e3"]]


def test_an_error_in_a_csv_cannot_be_a_formula() -> None:
    made = Table(("x",), [(GONE,)])
    assert read(made.to_csv() or "")[1][0].startswith("MetaflowDataMissing: F/1/a/1/x: ")


def test_a_missing_cell_alone_is_a_row_of_csv() -> None:
    made = Table(("x",), [(None,), ("a",), ("",)])
    assert read(made.to_csv() or "") == [["x"], [""], ["a"], [""]]


def test_csv_is_written_to_paths_and_files(tmp_path: Path) -> None:
    made = Table(("x",), [("é\n",), (1,)])
    made.to_csv(tmp_path / "a.csv")
    made.to_csv(str(tmp_path / "b.csv"))
    buffer = io.StringIO()
    assert made.to_csv(buffer) is None
    expected = (made.to_csv() or "").encode()
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes() == expected
    assert buffer.getvalue().encode() == expected
    for bad in (5, io.BytesIO(), ""):
        with pytest.raises(BadArgument, match="target is "):
            made.to_csv(bad)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        made.to_csv(tmp_path / "nowhere" / "a.csv")


# Frames


@pytest.mark.parametrize("library", frames.CHECKS)
def test_frames_keep_types(library: str) -> None:
    pytest.importorskip(library, reason=f"{library} is not installed; make matrix has it")
    frames.CHECKS[library]()


def test_pandas_takes_any_object_as_one_cell() -> None:
    inner = pd.DataFrame({"a": [1, 2]})
    frame = Table(("x", "y"), [(inner, [1, 2]), (np.arange(3), {"a": 1})]).to_pandas()
    assert frame.shape == (2, 2)
    assert frame["x"][0] is inner
    assert frame["y"][0] == [1, 2]
    assert list(Table(("x", "y"), []).to_pandas().columns) == ["x", "y"]


@pytest.mark.parametrize("name", ["pandas", "pyarrow", "polars"])
def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    made = Table(("x",), [(1,)])
    convert = {"pandas": made.to_pandas, "pyarrow": made.to_arrow, "polars": made.to_polars}[name]
    with pytest.raises(MissingLibrary, match=f"pip install {name}") as caught:
        convert()
    assert isinstance(caught.value, ImportError)
    assert caught.value.name == name
    if name == "pyarrow":
        with pytest.raises(MissingLibrary):
            made.__arrow_c_stream__()


# Shown


def test_text_is_aligned_by_the_width_of_characters() -> None:
    made = Table(("name", "n"), [("日本", 5), ("e\u0301a", 10), ("abc", None)])
    assert repr(made).splitlines() == [
        "name   n",
        "----  --",
        "日本   5",
        "e\u0301a    10",
        "abc",
    ]


def test_shown_text_is_on_one_line_and_short() -> None:
    made = Table(("x\n",), [("two\nlines \x1b[31m\u202e",), ("a" * 1000,), (NOON,), (GONE,)])
    lines = repr(made).splitlines()
    assert len(lines) == 6
    assert lines[0] == "x\\n"
    assert lines[2] == "two\\nlines \\x1b[31m\\u202e"
    assert lines[3] == "a" * 39 + "…"
    assert lines[4] == "2026-03-01 12:00:00Z"
    assert lines[5].startswith("MetaflowDataMissing: F/1/a/1/x")


def test_long_tables_say_how_many_rows_are_left() -> None:
    for number, rest in ((20, None), (21, "… 1 more row"), (1020, "… 1000 more rows")):
        made = Table(("x",), [(i,) for i in range(number)])
        lines = repr(made).splitlines()
        assert (lines[-1] if len(lines) > 22 else None) == rest
        assert ((rest or "more row") in made._repr_html_()) is (rest is not None)
    assert repr(Table(("x",), [])).splitlines() == ["x", "-", "0 rows"]


class Tags(HTMLParser):
    """Collects the tags and the text of a document."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text: list[str] = []
        self.feed(document)

    def handle_starttag(self, tag: str, attributes: Any) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_html_holds_no_foreign_tags() -> None:
    bad = "<script>alert('x')</script>&amp;\"\x1b"
    made = Table((bad,), [(bad,), ((bad,),), ({bad: bad},), (b"<b>",), (GONE,)] * 10)
    shown = Tags(made._repr_html_())
    assert shown.tags == {"table", "thead", "tbody", "tr", "th", "td", "p"}
    assert shown.text[0].startswith("<script>alert('x')</script>&amp;\"\\x1b")
