"""The unbounded foreach that Metaflow keeps for its own tests."""

from metaflow import FlowSpec, step, unbounded_test_foreach_internal
from metaflow.plugins import InternalTestUnboundedForeachInput


class UnboundedFlow(FlowSpec):
    """A control task and its mappers."""

    @step
    def start(self):
        """Split over an input of unknown length."""
        self.letters = InternalTestUnboundedForeachInput(["x", "y"])
        self.next(self.mapper, foreach="letters")

    @unbounded_test_foreach_internal
    @step
    def mapper(self):
        """Run for each letter."""
        self.letter = self.input
        self.next(self.join)

    @step
    def join(self, inputs):
        """Collect the letters."""
        self.joined = sorted(str(i.letter) for i in inputs)
        self.next(self.end)

    @step
    def end(self):
        """Finish."""


if __name__ == "__main__":
    UnboundedFlow()
