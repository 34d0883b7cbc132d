"""A flow that fails until it is told not to; resumed more than once."""

import os
import sys

from metaflow import FlowSpec, Parameter, step


class ResumableFlow(FlowSpec):
    """Three steps, of which the last two fail when told so."""

    value = Parameter("value", default=7)

    @step
    def start(self):
        """Print, so that the clone has a log to follow."""
        print("start of the origin")
        print("on the other stream", file=sys.stderr)
        self.doubled = self.value * 2
        self.next(self.middle)

    @step
    def middle(self):
        """Fail when told so."""
        if os.environ.get("FLOW_FAILS") == "middle":
            self.stored_before = "failure"
            raise CustomError("told to fail", code=3)
        print("middle")
        self.next(self.end)

    @step
    def end(self):
        """Fail when told so."""
        if os.environ.get("FLOW_FAILS") == "end":
            message = "end told to fail"
            raise RuntimeError(message)


class CustomError(Exception):
    """An exception with a field of its own."""

    def __init__(self, message, *, code):
        super().__init__(message)
        self.code = code


if __name__ == "__main__":
    ResumableFlow()
