"""A TCP relay that counts what passes and can delay it, as a network does: late, not slow.

    python relay.py HOST:PORT MILLISECONDS

prints the port it listens on. A line on standard input is answered with what passed since the last one, as JSON:
`requests`, `connections`, `up` and `down` (bytes, headers included).
"""

from __future__ import annotations

import asyncio
import json
import re
import sys

#: The first line of a request; bodies of ours hold no such line.
_REQUEST = re.compile(rb"(?:GET|HEAD|POST|PATCH|PUT|DELETE) [^\r\n]+ HTTP/1\.1\r\n")
_READ = 1 << 16


class Relay:
    """Passes bytes between clients and one server.

    Args:
        target: host and port of the server.
        delay: seconds by which each direction is late.
    """

    def __init__(self, target: tuple[str, int], delay: float) -> None:
        self._target, self._delay = target, delay
        self.counts = {"requests": 0, "up": 0, "down": 0, "connections": 0}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Relay one connection until either side ends it."""
        self.counts["connections"] += 1
        await asyncio.sleep(2 * self._delay)  # the handshake is a round trip
        server_reader, server_writer = await asyncio.open_connection(*self._target)
        await asyncio.gather(
            self._pass(reader, server_writer, "up"),
            self._pass(server_reader, writer, "down"),
            return_exceptions=True,
        )

    async def _pass(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, way: str
    ) -> None:
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        delivery = asyncio.ensure_future(self._deliver(waiting, sink))
        clock = asyncio.get_running_loop().time
        try:
            while chunk := await source.read(_READ):
                self.counts[way] += len(chunk)
                if way == "up":
                    self.counts["requests"] += len(_REQUEST.findall(chunk))
                waiting.put_nowait((clock() + self._delay, chunk))
        finally:
            waiting.put_nowait((clock() + self._delay, b""))
            await delivery

    async def _deliver(
        self, waiting: asyncio.Queue[tuple[float, bytes]], sink: asyncio.StreamWriter
    ) -> None:
        clock = asyncio.get_running_loop().time
        try:
            while True:
                due, chunk = await waiting.get()
                if (wait := due - clock()) > 0:
                    await asyncio.sleep(wait)
                if not chunk:
                    return
                sink.write(chunk)
                await sink.drain()
        finally:
            sink.close()


async def main(target: str, milliseconds: float) -> None:
    """Listen on a free port of loopback, and answer on standard output what was counted."""
    host, _, port = target.rpartition(":")
    relay = Relay((host, int(port)), milliseconds / 2000)
    server = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        sys.stdout.write(json.dumps(relay.counts) + "\n")
        sys.stdout.flush()
        relay.counts = dict.fromkeys(relay.counts, 0)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
