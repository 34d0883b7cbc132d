"""A flow whose log is followed while it prints, by somebody who says which lines were seen."""

import os
import pathlib
import subprocess
import sys
import time

from metaflow import FlowSpec, Parameter, current, retry, step


class FollowedFlow(FlowSpec):
    """One attempt that prints and fails, and one that prints and ends."""

    seen = Parameter("seen", help="the folder with a file for each line that was seen")

    @retry(times=1, minutes_between_retries=0)
    @step
    def start(self):
        """Print as tasks do that run elsewhere: through tee, uploaded whole from time to time."""
        file = pathlib.Path(self.seen, f"log of {current.retry_count}")
        upload = {
            "MF_PATHSPEC": current.pathspec,
            "MF_ATTEMPT": str(current.retry_count),
            "MF_DATASTORE": "local",
            "MF_DATASTORE_ROOT": os.path.abspath(".metaflow"),
            "MFLOG_STDOUT": str(file),
            "MFLOG_STDERR": f"{file} of errors",
        }
        command = [sys.executable, "-m", "metaflow.mflog.tee", "task", str(file)]
        for number in range(3):
            text = f"{current.retry_count} {number}"
            tee = {"input": text.encode() + b"\n", "stdout": subprocess.DEVNULL, "check": True}
            subprocess.run(command, **tee)
            save = [sys.executable, "-m", "metaflow.mflog.save_logs"]
            subprocess.run(save, env={**os.environ, **upload}, check=True, capture_output=True)
            self._wait_for(text)
        print(f"attempt {current.retry_count} is over", flush=True)
        if current.retry_count == 0:
            message = "the first attempt fails"
            raise ValueError(message)
        self.next(self.end)

    def _wait_for(self, text):
        deadline = time.monotonic() + 120
        while not pathlib.Path(self.seen, text).exists():
            if time.monotonic() > deadline:
                message = f"nobody has seen {text!r}"
                raise RuntimeError(message)
            time.sleep(0.05)

    @step
    def end(self):
        """Finish."""


if __name__ == "__main__":
    FollowedFlow()
