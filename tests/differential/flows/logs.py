"""Logs of every kind."""

import sys

from metaflow import FlowSpec, step


class LogsFlow(FlowSpec):
    """One step for each thing that a log can do."""

    @step
    def start(self):
        """Print text of every kind on both streams."""
        print("plain")
        print("two\nlines")
        print()
        print("carriage\rreturn")
        print("naïve ☃ \x00 \x1b[31mred\x1b[0m \u2028 \x85 \x0c end")
        print("[MFLOG|0|2024-01-01T00:00:00.000000Z|user|id]looks like a header")
        print("error stream", file=sys.stderr)
        sys.stdout.write("no newline at the end")
        self.next(self.bytes_not_text)

    @step
    def bytes_not_text(self):
        """Print bytes that are not UTF-8."""
        sys.stdout.buffer.write(b"before\n\xff\xfe broken\nafter\n")
        self.next(self.many)

    @step
    def many(self):
        """Print many lines quickly."""
        print("\n".join(f"line {i}" for i in range(300)))
        self.next(self.end)

    @step
    def end(self):
        """Print nothing."""


if __name__ == "__main__":
    LogsFlow()
