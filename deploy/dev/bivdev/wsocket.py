# SPDX-License-Identifier: Apache-2.0
"""wsocket - a blocking WebSocket client: our socket handling around the protocol of the `websockets` package (not ours, so it checks us)."""
import socket
import ssl
import time
from urllib.parse import urlsplit

from websockets.client import ClientConnection
from websockets.frames import Opcode
from websockets.uri import parse_uri


class Refused(Exception):
    """The server answered the upgrade with another status than 101."""

    def __init__(self, status, headers, body):
        super().__init__(f"upgrade refused: {status} {body[:300]!r}")
        self.status, self.headers, self.body = status, headers, body


class Closed(Exception):
    """The connection has ended; code is None when there was no close frame."""

    def __init__(self, code, reason):
        super().__init__(f"closed: {code} {reason}")
        self.code, self.reason = code, reason


class WebSocket:
    MESSAGE_BYTES_MAX = 32 << 20

    def __init__(self, url, headers=None, timeout_s=30, connect_to=None):
        """connect_to=(host, port) goes there instead of where the URL points, the Host header stays."""
        parts = urlsplit(url)
        uri = parse_uri(url)
        address = connect_to or (parts.hostname, uri.port)
        self.sock = socket.create_connection(address, timeout_s)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if uri.secure:
            self.sock = ssl.create_default_context().wrap_socket(self.sock, server_hostname=parts.hostname)
        self.timeout_s = timeout_s
        self.protocol = ClientConnection(uri, max_size=self.MESSAGE_BYTES_MAX)
        self.events = []
        self.messages = []
        self.fragments = None
        self.pongs = 0
        self.ended = False
        try:
            self._open(headers or {})
        except BaseException:
            self.sock.close()
            raise

    def _open(self, headers):
        request = self.protocol.connect()
        for name, value in headers.items():
            request.headers[name] = value
        self.protocol.send_request(request)
        self._flush()
        end = time.monotonic() + self.timeout_s
        while True:
            self.events += self.protocol.events_received()
            if self.events:
                response = self.events.pop(0)
                if response.status_code != 101:
                    raise Refused(response.status_code, dict(response.headers.raw_items()), bytes(response.body or b""))
                if self.protocol.handshake_exc:
                    raise self.protocol.handshake_exc
                return
            if self.ended:
                raise Closed(None, "connection ended in the handshake")
            self._receive(end)

    def _flush(self):
        for data in self.protocol.data_to_send():
            if data:
                self.sock.settimeout(self.timeout_s)
                self.sock.sendall(data)
            else:
                try:
                    self.sock.shutdown(socket.SHUT_WR)
                except OSError:
                    pass

    def _receive(self, end):
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError("nothing came in time")
        self.sock.settimeout(left)
        try:
            data = self.sock.recv(1 << 18)
        except socket.timeout:
            raise TimeoutError("nothing came in time") from None
        except ConnectionError:
            data = b""
        if data:
            self.protocol.receive_data(data)
        else:
            self.ended = True
            try:
                self.protocol.receive_eof()
            except EOFError:
                raise Closed(None, "connection ended in the handshake") from None
        try:
            self._flush()
        except OSError:
            pass

    def _collect(self):
        self.events += self.protocol.events_received()
        while self.events:
            event = self.events.pop(0)
            opcode = getattr(event, "opcode", None)
            if opcode in (Opcode.TEXT, Opcode.BINARY):
                self.fragments = (opcode, [event.data])
            elif opcode is Opcode.CONT and self.fragments:
                self.fragments[1].append(event.data)
            elif opcode is Opcode.PONG:
                self.pongs += 1
                continue
            else:
                continue
            if event.fin:
                kind, pieces = self.fragments
                data = b"".join(pieces)
                self.messages.append(data.decode() if kind is Opcode.TEXT else data)
                self.fragments = None

    def recv(self, timeout_s=None):
        """The next message; Closed at the end, TimeoutError when there is none in time."""
        end = time.monotonic() + (self.timeout_s if timeout_s is None else timeout_s)
        while True:
            self._collect()
            if self.messages:
                return self.messages.pop(0)
            if self.ended or self.protocol.state.name == "CLOSED":
                raise Closed(self.close_code, self.protocol.close_reason)
            self._receive(end)

    @property
    def close_code(self):
        code = self.protocol.close_code
        return None if code in (None, 1006) else code

    def send(self, message):
        if isinstance(message, str):
            self.protocol.send_text(message.encode())
        else:
            self.protocol.send_binary(message)
        self._flush()

    def ping(self, payload=b""):
        self.protocol.send_ping(payload)
        self._flush()

    def close(self, code=1000):
        """A proper close; waits for the server's answer."""
        try:
            if self.protocol.state.name == "OPEN":
                self.protocol.send_close(code)
                self._flush()
            end = time.monotonic() + min(self.timeout_s, 5)
            while not self.ended and self.protocol.state.name != "CLOSED":
                self._receive(end)
        except (OSError, TimeoutError):
            pass
        self.sock.close()

    def cut(self):
        """Ends the connection like a pulled cable: a reset, no close frame."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.sock.close()
        self.ended = True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
