"""A relay that counts what passes and can delay it, as a network does: late, not slow.

    python -m tests.benchmarks.service.relay HOST:PORT MILLISECONDS

prints the port it listens on. A line on standard input is answered with the counts since the last
one, as JSON: `requests`, `connections`, `up` and `down` (bytes, headers included).
"""

from __future__ import annotations

import asyncio
import json
import re
import sys

from tests.servers.proxy import Proxy

#: The first line of a request; bodies of ours hold no such line.
_REQUEST = re.compile(rb"(?:GET|HEAD|POST|PATCH|PUT|DELETE) [^\r\n]+ HTTP/1\.1\r\n")


class Relay(Proxy):
    """A proxy that knows HTTP well enough to count requests."""

    def __init__(self, target: tuple[str, int], delay: float) -> None:
        super().__init__(target, delay)
        self.counts["requests"] = 0

    def passed(self, way: str, chunk: bytes) -> None:
        super().passed(way, chunk)
        if way == "up":
            self.counts["requests"] += len(_REQUEST.findall(chunk))


async def main(target: str, milliseconds: float) -> None:
    """Listen on a free port of loopback, and report the counts on standard output."""
    host, _, port = target.rpartition(":")
    relay = Relay((host, int(port)), milliseconds / 2000)
    await relay.start()
    sys.stdout.write(f"{relay.port}\n")
    sys.stdout.flush()
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        sys.stdout.write(json.dumps(relay.counts) + "\n")
        sys.stdout.flush()
        relay.counts = dict.fromkeys(relay.counts, 0)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
