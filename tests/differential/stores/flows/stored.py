"""A flow that puts something of every kind into a datastore."""

import os
import sys

from metaflow import FlowSpec, IncludeFile, Parameter, card, step

HERE = os.path.dirname(os.path.abspath(__file__))


class StoredFlow(FlowSpec):
    """Values small and large, files, logs, a card, a foreach; fails when told so, to be resumed."""

    text = Parameter("text", default="naïve ☃")
    text_file = IncludeFile("text_file", default=os.path.join(HERE, "..", "..", "flows", "inputs", "text.txt"))
    binary_file = IncludeFile(
        "binary_file", is_text=False, default=os.path.join(HERE, "..", "..", "flows", "inputs", "binary.bin")
    )

    @card
    @step
    def start(self):
        """Store values and print on both streams."""
        print("out of start ☃")
        print("error of start", file=sys.stderr)
        self.nothing = None
        self.nested = {"list": [1, (2, {"three": 3})], 4: None}
        self.random = os.urandom(1_000_000)
        self.large = bytes(9_000_000)
        self.parts = ["a", "b"]
        self.next(self.each, foreach="parts")

    @step
    def each(self):
        """Store a value of each part."""
        self.got = self.input * 2
        self.next(self.join)

    @step
    def join(self, inputs):
        """Fail when told so."""
        self.all = sorted(part.got for part in inputs)
        if os.environ.get("FLOW_FAILS"):
            message = "told to fail"
            raise RuntimeError(message)
        self.next(self.end)

    @step
    def end(self):
        """Print nothing."""


if __name__ == "__main__":
    StoredFlow()
