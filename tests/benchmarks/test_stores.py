"""The benchmark of stores itself: its data, and its reports of limits."""

from __future__ import annotations

import gzip
import pickle
from pathlib import Path
from typing import BinaryIO

from tests.benchmarks.stores.data import FLOW, RUN, Sizes, store_data
from tests.benchmarks.stores.operations import Limits
from tests.benchmarks.stores.report import Cost, Row, table

from mfc import Client, hookspecs, load

SIZES = Sizes(small=5, medium=2, medium_bytes=1_000, large_bytes=2_000)


class Served:
    """The directory for a server of objects."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def cat_file(self, path: str, start: int | None = None, end: int | None = None) -> bytes:
        return (self._directory / path).read_bytes()[start:end]

    def size(self, path: str) -> int:
        return (self._directory / path).stat().st_size

    def open(self, path: str, mode: str = "rb") -> BinaryIO:
        return (self._directory / path).open("rb")


def test_the_data_are_read_in_the_order_of_the_keys(tmp_path: Path) -> None:
    data = store_data(tmp_path / "data", SIZES)

    class Plugin:
        @staticmethod
        @hookspecs.hookimpl
        def mfc_filesystem(ds_type: str) -> Served | None:
            return Served(data.served) if ds_type == "s3" else None

    settings = {"CLIENT_CACHE_PATH": str(tmp_path / "cache")}
    client = Client(str(data.directory), namespace=None, plugins=["local", Plugin], config=settings)
    for step, number in (("small", 5), ("medium", 2), ("large", 1)):
        keys = data.keys(step).read_text().split()
        stored = [(data.served / "bucket" / key).read_bytes() for key in keys]
        values = list(load(client.step(f"{FLOW}/{RUN}/{step}"), "x"))
        assert values == [pickle.loads(gzip.decompress(blob)) for blob in stored]
        assert len(values) == number
    stamp = (data.directory / "stamp.json").stat().st_mtime_ns
    assert store_data(data.directory, SIZES) == data
    assert (data.directory / "stamp.json").stat().st_mtime_ns == stamp


def cost(wall: float, cpu: float, answer: str = "same") -> Cost:
    return Cost(1, 1_000, 50, {0: wall, 30: wall + 30}, {0: cpu, 30: cpu}, answer)


def test_missed_limits_are_reported() -> None:
    limits = Limits(wall=1 / 2, cpu=1 / 2, bare=1.5)
    costs = {"metaflow": cost(1000, 1000), "load": cost(400, 400), "bare": cost(300, 100)}
    right = Row("values", costs, limits)
    assert right.faults((0, 30)) == []
    slow = Row("values", {**costs, "load": cost(600, 400, "other")}, limits)
    assert slow.faults((0,)) == [
        "values: the answers differ",
        "values: 1/1.7 of Metaflow's time at 0 ms, not 1/2.0",
        "values: 2.00 of obstore's time at 0 ms, not 1.50",
    ]
    failed = Row("values", {**costs, "load": "it broke"}, limits)
    assert table([right, failed], (0, 30)).splitlines()[-1] == "values: mfc, load: it broke"
