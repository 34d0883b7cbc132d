"""Start and end steps with names of their own; the end fails once, to be resumed."""

import os

from metaflow import FlowSpec, step


class EndpointsFlow(FlowSpec):
    """`begin` instead of `start`, `finish` instead of `end`."""

    @step(start=True)
    def begin(self):
        """Start."""
        self.value = "from begin"
        self.next(self.finish)

    @step(end=True)
    def finish(self):
        """End, unless told to fail."""
        if os.environ.get("FLOW_FAILS"):
            message = "told to fail"
            raise RuntimeError(message)
        self.result = self.value.upper()


if __name__ == "__main__":
    EndpointsFlow()
