"""Attempts that fail, are caught, are killed, and are tried again."""

import os
import signal

from metaflow import FlowSpec, catch, current, retry, step


class FailuresFlow(FlowSpec):
    """Every way for an attempt to end."""

    @retry(times=1, minutes_between_retries=0)
    @step
    def start(self):
        """Fail in the first attempt only."""
        print(f"attempt {current.retry_count}")
        self.attempt = current.retry_count
        if current.retry_count == 0:
            self.only_in_first = True
            message = "the first attempt fails"
            raise ValueError(message)
        self.only_in_second = True
        self.next(self.caught)

    @catch(var="problem")
    @step
    def caught(self):
        """Fail, and be caught."""
        self.before = 1
        _ = {}["missing key"]
        self.next(self.killed_once)

    @retry(times=1, minutes_between_retries=0)
    @step
    def killed_once(self):
        """Be killed in the first attempt only."""
        print(f"attempt {current.retry_count}", flush=True)
        if current.retry_count == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.next(self.caught_after_retry)

    @catch(var="problem_after_retry", print_exception=False)
    @retry(times=1, minutes_between_retries=0)
    @step
    def caught_after_retry(self):
        """Fail in both attempts, and be caught in the third."""
        message = f"attempt {current.retry_count}"
        raise OSError(5, message)
        self.next(self.end)

    @step
    def end(self):
        """Be killed for good."""
        print("last words", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    FailuresFlow()
