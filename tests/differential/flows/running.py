"""A flow that is still running when its results are read."""

import pathlib
import time

from metaflow import FlowSpec, Parameter, current, retry, step


class RunningFlow(FlowSpec):
    """One attempt that failed, then one that does not come to its end."""

    marker = Parameter("marker", help="the file that says the second attempt has started")

    @step
    def start(self):
        """Split, so that siblings in different states exist."""
        self.items = ["done", "waits"]
        self.next(self.work, foreach="items")

    @retry(times=1, minutes_between_retries=0)
    @step
    def work(self):
        """Finish at once, or fail and then wait for ever."""
        print(f"{self.input} {current.retry_count}", flush=True)
        if self.input == "waits":
            if current.retry_count == 0:
                message = "the first attempt fails"
                raise ValueError(message)
            pathlib.Path(self.marker).touch()
            time.sleep(600)
        self.next(self.join)

    @step
    def join(self, inputs):
        """Collect."""
        self.next(self.end)

    @step
    def end(self):
        """Finish."""


if __name__ == "__main__":
    RunningFlow()
