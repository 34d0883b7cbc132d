"""Conditional transitions: a branch not taken, and a step that goes back to itself."""

import os

from metaflow import FlowSpec, step


class SwitchFlow(FlowSpec):
    """A switch over three steps, a static branch, then a recursive step."""

    @step
    def start(self):
        """Choose a way."""
        self.choice = "taken"
        self.next(
            {"taken": self.taken, "other": self.not_taken, "third": self.never},
            condition="choice",
        )

    @step
    def taken(self):
        """Run, because it was chosen; split statically."""
        self.count = 0
        self.next(self.red, self.blue)

    @step
    def red(self):
        """Be one side of the static branch."""
        self.colour = "red"
        self.next(self.mix)

    @step
    def blue(self):
        """Be the other side of the static branch."""
        self.colour = "blue"
        self.next(self.mix)

    @step
    def mix(self, inputs):
        """Join the static branch."""
        self.colours = sorted(i.colour for i in inputs)
        self.count = 0
        self.next(self.again)

    @step
    def not_taken(self):
        """Never run."""
        self.count = 0
        self.next(self.again)

    @step
    def never(self):
        """Never run either."""
        self.count = 0
        self.next(self.again)

    @step
    def again(self):
        """Go back to itself twice."""
        self.count += 1
        self.go_on = self.count < 3
        self.next({True: self.again, False: self.end}, condition="go_on")

    @step
    def end(self):
        """Finish, unless told to fail."""
        if os.environ.get("FLOW_FAILS"):
            message = "told to fail"
            raise RuntimeError(message)


if __name__ == "__main__":
    SwitchFlow()
