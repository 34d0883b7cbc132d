"""Values of every kind: parameters, files, configs, awkward values and awkward names."""

import collections
import datetime
import decimal
import enum
import os
import pathlib
import uuid

import numpy as np
import pandas as pd
from metaflow import Config, FlowSpec, IncludeFile, JSONType, Parameter, Run, Step, Task, current, step
from metaflow.events import Trigger

HERE = os.path.dirname(os.path.abspath(__file__))


class Point:
    """A class that only this flow file defines."""

    def __init__(self, x, y):
        self.x = x
        self.y = y


class Colour(enum.Enum):
    """An enumeration that only this flow file defines."""

    RED = 1


class Flag(enum.IntFlag):
    """A flag that only this flow file defines."""

    UP = 1


class ValuesFlow(FlowSpec):
    """Store one artifact of every kind of value."""

    CONSTANT = ("class", "constant", 3)

    text = Parameter("text", default="naïve ☃")
    number = Parameter("number", default=2.5)
    nothing = Parameter("nothing", type=str, default=None)
    flag = Parameter("flag", type=bool, default=True)
    dashed_name = Parameter("dashed-name", default=1)
    document = Parameter("document", type=JSONType, default='{"a": [1, null], "b": "é"}')
    text_file = IncludeFile("text_file", default=os.path.join(HERE, "inputs", "text.txt"))
    latin_file = IncludeFile("latin_file", default=os.path.join(HERE, "inputs", "latin.txt"), encoding="latin-1")
    binary_file = IncludeFile("binary_file", is_text=False, default=os.path.join(HERE, "inputs", "binary.bin"))
    settings = Config("settings", default_value={"depth": {"leaf": [1, 2]}, "name": "config"})

    @step
    def start(self):
        """Store plain values."""
        self.none = None
        self.empty_text = ""
        self.empty_list = []
        self.large_int = 10**400
        self.not_a_number = float("nan")
        self.infinite = float("-inf")
        self.surrogate = "\ud800 alone"
        self.raw = bytes(range(256))
        self.array_of_bytes = bytearray(b"abc")
        self.complex = 1 + 2j
        self.a_set = {3, 1, 2}
        self.a_frozenset = frozenset("ab")
        self.nested = {"list": [1, (2, {"three": 3})], 4: None}
        self.moment = datetime.datetime(2024, 2, 29, 12, 30, 15, 5, tzinfo=datetime.timezone.utc)
        self.day = datetime.date(2024, 2, 29)
        self.span = datetime.timedelta(days=1, microseconds=5)
        self.price = decimal.Decimal("1.10")
        self.identity = uuid.UUID(int=5)
        self.path = pathlib.PurePosixPath("a/b")
        self.ordered = collections.OrderedDict([("b", 1), ("a", 2)])
        self.counter = collections.Counter("aab")
        self.default_dict = collections.defaultdict(list, {"k": [1]})
        self.a_range = range(1, 10, 3)
        self.a_class = collections.OrderedDict
        self.error = ValueError("stored", 5)
        self.next(self.libraries)

    @step
    def libraries(self):
        """Store values of other libraries, of this file and of Metaflow."""
        self.array = np.arange(6, dtype="int16").reshape(2, 3)
        self.scalar = np.float32(1.5)
        self.structured = np.array([(1, "a")], dtype=[("n", "i4"), ("t", "U3")])
        self.frame = pd.DataFrame({"a": [1, 2], "t": pd.to_datetime(["2024-01-01", None])})
        self.series = pd.Series([1.0, None], index=["x", "y"], name="s")
        self.point = Point(1, [2])
        self.points = [Point(3, 4), 5]
        self.colour = Colour.RED
        self.up = Flag.UP
        self.point_class = Point
        self.config_value = self.settings.depth
        self.config_list = self.settings.depth.leaf
        self.this_run = Run(f"{current.flow_name}/{current.run_id}")
        self.this_step = self.this_run["start"]
        run = f"{current.flow_name}/{current.run_id}"
        self.start_task = Step(f"{run}/start").task
        self.start_attempt = Task(self.start_task.pathspec, attempt=0)
        self.an_artifact = self.start_task["empty_text"]
        self.trigger = Trigger([{"name": "n", "id": "1", "timestamp": 5, "type": "event"}])
        self.next(self.names)

    @step
    def names(self):
        """Store artifacts whose names are no identifiers."""
        for name in ("br[ack]et", "a b", "naïve", "*", "*star", "q?", "class", "1st", "dots..", "x:y"):
            setattr(self, name, f"value of {name}")
        self.next(self.end)

    @step
    def end(self):
        """Keep a large value, which compresses well."""
        self.large = bytes(50_000_000)


if __name__ == "__main__":
    ValuesFlow()
