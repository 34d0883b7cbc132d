"""A TCP proxy that counts bytes and simulates network faults, while it runs.

It knows no protocol. It acts per turn: the bytes of the client up to the answer, and the answer; in HTTP without TLS,
a request. `proxy.faults` are for the next turns, one each, on any connection, None for none; `proxy.always` is for
all others.

    with running(("127.0.0.1", 8080)) as proxy:
        proxy.faults.extend([Hole(), Cut(100)])
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass

_READ = 1 << 16
#: Seconds that any change of the proxy may take.
_PATIENCE = 30


@dataclass(frozen=True)
class Cut:
    """The connection ends after some bytes of the answer.

    Args:
        after: bytes of the answer that pass.
        reset: whether it ends with RST instead of FIN.
        delivered: whether the server gets the request; if not, the connection ends when it comes.
        reused: whether only turns that are not the first of their connection are hit.
    """

    after: int = 0
    reset: bool = False
    delivered: bool = True
    reused: bool = False


@dataclass(frozen=True)
class Hole:
    """The answer never comes, and the connection stays."""

    delivered: bool = False


@dataclass(frozen=True)
class Drip:
    """The answer comes a byte at a time.

    Args:
        pause: seconds between two.
    """

    pause: float = 0.05


Fault = Cut | Hole | Drip


class Proxy:
    """Passes bytes between clients and one server.

    Args:
        target: host and port of the server.
        delay: latency of each direction in seconds, at full bandwidth.
    """

    def __init__(self, target: tuple[str, int], delay: float = 0) -> None:
        self.target, self.delay, self.port = target, delay, 0
        self.faults: deque[Fault | None] = deque()
        self.always: Fault | None = None
        #: Counts: connections, turns, and bytes that came from clients and from the server.
        self.counts = {"connections": 0, "turns": 0, "up": 0, "down": 0}
        self._links: set[_Link] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen on loopback, on a free port the first time and on the same one afterwards."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening; open connections stay."""
        assert self._server
        self._server.close()

    async def drop(self, *, reset: bool = False) -> None:
        """End all open connections."""
        for link in list(self._links):
            link.end(reset=reset)

    def passed(self, way: str, chunk: bytes) -> None:
        """Note bytes that came, `up` from a client or `down` from the server."""
        self.counts[way] += len(chunk)

    def next_fault(self, *, first: bool) -> Fault | None:
        """Return the fault for the turn that begins, the first of its connection or not."""
        self.counts["turns"] += 1
        fault = self.faults[0] if self.faults else self.always
        if isinstance(fault, Cut) and fault.reused and first:
            return None
        if self.faults:
            self.faults.popleft()
        return fault

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.counts["connections"] += 1
        link = _Link(self, writer)
        self._links.add(link)
        try:
            if self.delay:
                await asyncio.sleep(2 * self.delay)  # the handshake is a round trip
            await link.run(reader)
        except OSError:
            link.end(reset=True)  # no server, or either side reset the connection
        finally:
            self._links.discard(link)


class _Link:
    """One connection of a client, and the one to the server that belongs to it."""

    def __init__(self, proxy: Proxy, client: asyncio.StreamWriter) -> None:
        self._proxy, self._client = proxy, client
        self._server: asyncio.StreamWriter | None = None
        self._fault: Fault | None = None
        self._turns = self._sent = 0
        self._answered = True

    async def run(self, client: asyncio.StreamReader) -> None:
        """Pass bytes until either side ends it."""
        server, self._server = await asyncio.open_connection(*self._proxy.target)
        ways = self._pass(client, self._server, "up"), self._pass(server, self._client, "down")
        await asyncio.gather(*ways, return_exceptions=True)

    def end(self, *, reset: bool) -> None:
        """End both connections."""
        for writer in filter(None, (self._client, self._server)):
            if reset:
                # Without lingering, closing sends RST.
                linger = struct.pack("ii", 1, 0)
                with contextlib.suppress(OSError):
                    there = writer.get_extra_info("socket")
                    there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                writer.transport.abort()
            else:
                writer.close()

    async def _pass(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, way: str
    ) -> None:
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        delivery = asyncio.ensure_future(self._deliver(waiting, sink, way))
        clock = asyncio.get_running_loop().time
        try:
            while chunk := await source.read(_READ):
                self._proxy.passed(way, chunk)
                waiting.put_nowait((clock() + self._proxy.delay, chunk))
        finally:
            waiting.put_nowait((clock() + self._proxy.delay, b""))
            await delivery

    async def _deliver(
        self, waiting: asyncio.Queue[tuple[float, bytes]], sink: asyncio.StreamWriter, way: str
    ) -> None:
        clock = asyncio.get_running_loop().time
        try:
            while True:
                due, chunk = await waiting.get()
                if (wait := due - clock()) > 0:
                    await asyncio.sleep(wait)
                if not chunk:
                    return
                await (self._up(chunk, sink) if way == "up" else self._down(chunk, sink))
        finally:
            sink.close()

    async def _up(self, chunk: bytes, sink: asyncio.StreamWriter) -> None:
        if self._answered:
            self._fault = self._proxy.next_fault(first=self._turns == 0)
            self._turns, self._sent, self._answered = self._turns + 1, 0, False
        if isinstance(self._fault, Cut | Hole) and not self._fault.delivered:
            if isinstance(self._fault, Cut):
                self.end(reset=self._fault.reset)
            return
        sink.write(chunk)
        await sink.drain()

    async def _down(self, chunk: bytes, sink: asyncio.StreamWriter) -> None:
        fault, self._answered = self._fault, True
        if isinstance(fault, Hole):
            return
        if isinstance(fault, Drip):
            for byte in chunk:
                if sink.is_closing():
                    return
                sink.write(bytes([byte]))
                await sink.drain()
                await asyncio.sleep(fault.pause)
            return
        rest = fault.after - self._sent if isinstance(fault, Cut) else len(chunk)
        if rest > 0:
            sink.write(chunk[:rest])
            await sink.drain()
        self._sent += len(chunk)
        if isinstance(fault, Cut) and self._sent >= fault.after:
            # Written bytes have to be sent before a reset discards them.
            await asyncio.sleep(0.05 if fault.reset and fault.after else 0)
            self.end(reset=fault.reset)


class Running(Proxy):
    """A proxy in a thread of its own, controlled from other threads."""

    def __init__(self, target: tuple[str, int], delay: float = 0) -> None:
        super().__init__(target, delay)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")
        self._thread.start()
        self._told(self.start())

    @contextlib.contextmanager
    def refusing(self) -> Iterator[None]:
        """Refuse connections until the end of the block, and end the open ones."""
        self._told(self.stop())
        self._told(self.drop(reset=True))
        try:
            yield
        finally:
            self._told(self.start())

    def drop_all(self, *, reset: bool = False) -> None:
        """End all open connections, as proxies and routers do to idle ones."""
        self._told(self.drop(reset=reset))

    def close(self) -> None:
        """End everything."""
        self._told(self.stop())
        self._told(self._finished())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE)
        self._loop.close()

    async def _finished(self) -> None:
        await self.drop(reset=True)
        # Without their connections, all tasks in flight end.
        if others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others, timeout=_PATIENCE)

    def _told(self, what: object) -> None:
        future: Future[None] = asyncio.run_coroutine_threadsafe(what, self._loop)  # type: ignore[arg-type]
        future.result(_PATIENCE)


@contextlib.contextmanager
def running(target: tuple[str, int], delay: float = 0) -> Iterator[Running]:
    """Run a proxy until the end of the block."""
    proxy = Running(target, delay)
    try:
        yield proxy
    finally:
        proxy.close()
