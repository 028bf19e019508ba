# SPDX-License-Identifier: Apache-2.0
"""raw_http - bytes to a server and what it says back, for requests that no library would send."""
import socket


class RawAnswer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def __repr__(self):
        return f"RawAnswer({self.status}, {self.headers}, {self.body[:200]!r})"


class RawHttp:
    def __init__(self, address, timeout_s=10):
        self.sock = socket.create_connection(address, timeout_s)
        self.sock.settimeout(timeout_s)
        self.pending = b""

    def send(self, data):
        self.sock.sendall(data)
        return self

    def _more(self):
        try:
            data = self.sock.recv(65536)
        except ConnectionResetError:
            data = b""
        self.pending += data
        return bool(data)

    def answer(self, head_only=False):
        """The next answer, or None at the end of the connection."""
        while b"\r\n\r\n" not in self.pending:
            if not self._more():
                assert not self.pending, f"connection ended inside a head: {self.pending[:200]!r}"
                return None
        head, self.pending = self.pending.split(b"\r\n\r\n", 1)
        lines = head.split(b"\r\n")
        status = int(lines[0].split(b" ", 2)[1])
        headers = {}
        for line in lines[1:]:
            name, value = line.split(b":", 1)
            headers[name.decode().lower()] = value.strip().decode("latin-1")
        body = b"" if head_only or status in (204, 304) or status < 200 else self._body(headers)
        return RawAnswer(status, headers, body)

    def _body(self, headers):
        if headers.get("transfer-encoding") == "chunked":
            return self._chunks()
        if "content-length" in headers:
            return self._exactly(int(headers["content-length"]))
        while self._more():
            pass
        body, self.pending = self.pending, b""
        return body

    def _exactly(self, size):
        while len(self.pending) < size:
            assert self._more(), f"body ended after {len(self.pending)} of {size} bytes"
        body, self.pending = self.pending[:size], self.pending[size:]
        return body

    def _chunks(self):
        body = b""
        while True:
            while b"\r\n" not in self.pending:
                assert self._more(), "body ended inside a chunk head"
            line, self.pending = self.pending.split(b"\r\n", 1)
            size = int(line.split(b";")[0], 16)
            body += self._exactly(size)
            assert self._exactly(2) == b"\r\n"
            if size == 0:
                return body

    def is_closed(self):
        """True once the server has closed; fails when it sends more or keeps the connection for the timeout."""
        try:
            return not self._more()
        except socket.timeout:
            return False

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def exchange(address, data, timeout_s=10):
    with RawHttp(address, timeout_s) as connection:
        return connection.send(data).answer()
