# SPDX-License-Identifier: Apache-2.0
"""
fault_proxy - a TCP proxy that misbehaves on demand: delays, throttles, stalls, cuts, half-closes, corrupts.

    with FaultProxy("127.0.0.1", port) as proxy:
        connect_to(("127.0.0.1", proxy.port))
        proxy.cut()                        # reset every connection
        proxy.down(to_server=Fault(delay_s=0.2))

Settings apply to bytes that come after the change. Runs its own loop in a thread.
"""
import asyncio
import dataclasses
import socket
import threading


@dataclasses.dataclass
class Fault:
    delay_s: float = 0.0          # each block waits that long
    bytes_per_s: float = 0.0      # 0 = no limit
    stalled: bool = False         # bytes wait until this is false again
    corrupt_at: int = -1          # flips one bit of the byte at this position, once
    cut_after: int = -1           # reset both sides when that many bytes have passed


class Direction:
    """One way of one connection."""

    def __init__(self, proxy, reader, writer, fault):
        self.proxy, self.reader, self.writer, self.fault = proxy, reader, writer, fault
        self.passed = 0

    async def run(self):
        while True:
            data = await self.reader.read(65536)
            if not data:
                break
            await self._pass(bytearray(data))
        if self.writer.can_write_eof():
            self.writer.write_eof()

    async def _pass(self, data):
        fault = self.fault()
        while fault.stalled:
            await asyncio.sleep(0.01)
            fault = self.fault()
        if fault.delay_s:
            await asyncio.sleep(fault.delay_s)
        at = fault.corrupt_at - self.passed
        if 0 <= at < len(data):
            data[at] ^= 0x01
        if fault.cut_after >= 0 and self.passed + len(data) > fault.cut_after:
            self.writer.write(bytes(data[: max(fault.cut_after - self.passed, 0)]))
            await self.writer.drain()
            raise ConnectionResetError("cut by the proxy")
        step = len(data) if not fault.bytes_per_s else max(int(fault.bytes_per_s / 20), 1)
        for i in range(0, len(data), step):
            piece = bytes(data[i:i + step])
            self.writer.write(piece)
            await self.writer.drain()
            if fault.bytes_per_s:
                await asyncio.sleep(len(piece) / fault.bytes_per_s)
        self.passed += len(data)
        self.proxy.bytes_passed += len(data)


class FaultProxy:
    def __init__(self, host, port):
        self.target = (host, port)
        self.to_server = Fault()
        self.to_client = Fault()
        self.refusing = False
        self.connections = 0
        self.bytes_passed = 0
        self._pairs = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._main, daemon=True)
        self._thread.start()
        self._ready.wait()

    def _main(self):
        asyncio.set_event_loop(self._loop)
        self._server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()

    async def _serve(self, reader, writer):
        if self.refusing:
            self._reset(writer)
            return
        try:
            up_reader, up_writer = await asyncio.open_connection(*self.target)
        except OSError:
            self._reset(writer)
            return
        self.connections += 1
        pair = (writer, up_writer)
        self._pairs.add(pair)
        ways = [Direction(self, reader, up_writer, lambda: self.to_server), Direction(self, up_reader, writer, lambda: self.to_client)]
        tasks = [asyncio.ensure_future(way.run()) for way in ways]
        try:
            await asyncio.gather(*tasks)
        except OSError:
            for task in tasks:
                task.cancel()
            for one in pair:
                self._reset(one)
        finally:
            self._pairs.discard(pair)
            for one in pair:
                one.close()

    @staticmethod
    def _reset(writer):
        sock = writer.get_extra_info("socket")
        if sock and sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        writer.transport.abort()

    def _call(self, work):
        done = threading.Event()

        def run():
            work()
            done.set()
        self._loop.call_soon_threadsafe(run)
        done.wait()

    def set(self, to_server=None, to_client=None):
        self.to_server = to_server or Fault()
        self.to_client = to_client or Fault()

    def cut(self):
        """Resets every connection that is open now."""
        self._call(lambda: [self._reset(one) for pair in list(self._pairs) for one in pair])

    def half_close_to_client(self):
        """End of file towards the client, the other way stays open."""
        self._call(lambda: [pair[0].write_eof() for pair in list(self._pairs) if pair[0].can_write_eof()])

    def half_close_to_server(self):
        self._call(lambda: [pair[1].write_eof() for pair in list(self._pairs) if pair[1].can_write_eof()])

    def refuse(self, refusing=True):
        """New connections are reset."""
        self.refusing = refusing

    def close(self):
        self._call(self._server.close)
        self.cut()
        self._loop.call_soon_threadsafe(lambda: self._loop.create_task(self._drain()))
        self._thread.join(5)

    async def _drain(self):
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        self._loop.stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
