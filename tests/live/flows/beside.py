"""A flow with what readers may trip over: a foreach, a retry, a caught exception, a failure, lines of output."""

import os
import time

from metaflow import FlowSpec, catch, current, retry, step

LINES = 20


class BesideFlow(FlowSpec):
    @step
    def start(self):
        self.items = list(range(3))
        self.next(self.work, foreach="items")

    @retry(times=2, minutes_between_retries=0)
    @step
    def work(self):
        for number in range(LINES):
            print(f"item {self.input} attempt {current.retry_count} line {number}", flush=True)
            time.sleep(0.02)
        self.a = self.b = self.c = self.z = self.input
        if self.input == 1 and current.retry_count == 0:
            raise ValueError("not at once")
        if self.input == 2 and current.retry_count == 0 and os.environ.get("DIE"):
            os._exit(7)  # its end leaves no mark
        self.next(self.join)

    @step
    def join(self, inputs):
        self.total = sum(task.a for task in inputs)
        self.next(self.risky)

    @catch(var="error")
    @step
    def risky(self):
        self.before = 1
        raise KeyError("caught")
        self.next(self.end)

    @step
    def end(self):
        self.zz_last = 1
        if os.environ.get("FAIL"):
            raise RuntimeError("stop here")


if __name__ == "__main__":
    BesideFlow()
