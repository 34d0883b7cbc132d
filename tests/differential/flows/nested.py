"""A foreach in a foreach with a static branch inside; it fails once, so that it can be resumed."""

import os

from metaflow import FlowSpec, step


class NestedFlow(FlowSpec):
    """Two levels of foreach around a static branch."""

    @step
    def start(self):
        """Split into two."""
        self.letters = ["a", "b"]
        self.next(self.outer, foreach="letters")

    @step
    def outer(self):
        """Split each part into two."""
        self.letter = self.input
        self.numbers = [1, 2]
        self.next(self.inner, foreach="numbers")

    @step
    def inner(self):
        """Branch within the inner foreach."""
        self.number = self.input
        self.next(self.left, self.right)

    @step
    def left(self):
        """One side of the branch."""
        self.side = f"{self.letter}{self.number}-left"
        self.next(self.both)

    @step
    def right(self):
        """The other side of the branch."""
        self.side = f"{self.letter}{self.number}-right"
        self.next(self.both)

    @step
    def both(self, inputs):
        """Join the branch."""
        self.sides = [i.side for i in inputs]
        self.next(self.gather_inner)

    @step
    def gather_inner(self, inputs):
        """Join the inner foreach."""
        self.sides = [i.sides for i in inputs]
        self.next(self.gather_outer)

    @step
    def gather_outer(self, inputs):
        """Join the outer foreach, unless told to fail."""
        if os.environ.get("FLOW_FAILS"):
            message = "told to fail"
            raise RuntimeError(message)
        self.sides = [i.sides for i in inputs]
        self.next(self.end)

    @step
    def end(self):
        """Finish."""


if __name__ == "__main__":
    NestedFlow()
