# SPDX-License-Identifier: Apache-2.0
"""Hazard 29: heads that two parsers would read differently get a 400 and the connection ends. Slow heads end by a deadline."""
import time

import pytest

from support.raw_http import RawHttp

BAD_HEADS = {
    "cl-and-te": "POST {path} HTTP/1.1\r\n{host}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "te-and-cl": "POST {path} HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two-lengths": "POST {path} HTTP/1.1\r\n{host}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "two-equal-lengths": "POST {path} HTTP/1.1\r\n{host}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "length-list": "POST {path} HTTP/1.1\r\n{host}Content-Length: 5, 5\r\n\r\nhello",
    "length-plus": "POST {path} HTTP/1.1\r\n{host}Content-Length: +5\r\n\r\nhello",
    "length-hex": "POST {path} HTTP/1.1\r\n{host}Content-Length: 0x5\r\n\r\nhello",
    "length-negative": "POST {path} HTTP/1.1\r\n{host}Content-Length: -1\r\n\r\n",
    "length-huge": "POST {path} HTTP/1.1\r\n{host}Content-Length: 99999999999999999999\r\n\r\n",
    "te-unknown": "POST {path} HTTP/1.1\r\n{host}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "te-twice": "POST {path} HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "te-tab": "POST {path} HTTP/1.1\r\n{host}Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "space-before-colon": "POST {path} HTTP/1.1\r\n{host}Content-Length : 5\r\n\r\nhello",
    "folded": "GET {path} HTTP/1.1\r\n{host}X-A: one\r\n two\r\n\r\n",
    "bare-lf": "GET {path} HTTP/1.1\n{host}\n",
    "bare-lf-inside": "GET {path} HTTP/1.1\r\n{host}X-A: b\nX-B: c\r\n\r\n",
    "bare-cr": "GET {path} HTTP/1.1\r\n{host}X-A: b\rX-B: c\r\n\r\n",
    "nul": "GET {path} HTTP/1.1\r\n{host}X-A: b\x00c\r\n\r\n",
    "no-colon": "GET {path} HTTP/1.1\r\n{host}nonsense\r\n\r\n",
    "empty-name": "GET {path} HTTP/1.1\r\n{host}: value\r\n\r\n",
    "no-host": "GET {path} HTTP/1.1\r\n\r\n",
    "two-hosts": "GET {path} HTTP/1.1\r\n{host}{host}\r\n",
    "http-2.0": "GET {path} HTTP/2.0\r\n{host}\r\n",
    "http-lower": "GET {path} http/1.1\r\n{host}\r\n",
    "no-version": "GET {path}\r\n\r\n",
    "space-in-path": "GET {path} x HTTP/1.1\r\n{host}\r\n",
    "odd-method": "G{{T {path} HTTP/1.1\r\n{host}\r\n",
    "first-line-space": " GET {path} HTTP/1.1\r\n{host}\r\n",
}
BAD_CHUNKS = {
    "hex-prefix": b"0x5\r\nhello\r\n0\r\n\r\n", "plus": b"+5\r\nhello\r\n0\r\n\r\n", "space": b" 5\r\nhello\r\n0\r\n\r\n", "letters": b"zz\r\nhello\r\n0\r\n\r\n",
    "empty": b"\r\nhello\r\n0\r\n\r\n", "huge": b"fffffffffffffffff\r\nhello\r\n", "lf": b"5\nhello\r\n0\r\n\r\n", "no-crlf-after-data": b"5\r\nhelloXX0\r\n\r\n",
    "long-extension": b"5;" + b"a" * 20000 + b"\r\nhello\r\n0\r\n\r\n",
}


def doors(cluster, sandbox):
    return {
        "gateway": (cluster.gateway.address, "/runtime/v1/files?path=/workspace/smuggled", sandbox.url.split("//")[1], sandbox.token),
        "control": (("127.0.0.1", cluster.inst.port("api")), "/v1/sandboxes", f"api.localhost:{cluster.inst.port('api')}", cluster.key),
    }


@pytest.fixture(params=["gateway", "control"])
def door(request, cluster, shared_sandbox):
    return doors(cluster, shared_sandbox)[request.param]


@pytest.mark.parametrize("name", BAD_HEADS)
def test_hz29_bad_heads(door, name):
    address, path, host, token = door
    text = BAD_HEADS[name].format(path=path, host=f"Host: {host}\r\nAuthorization: Bearer {token}\r\n")
    with RawHttp(address) as raw:
        raw.send(text.encode("latin-1"))
        answer = raw.answer()
        assert answer is not None and answer.status in (400, 501, 505), answer
        assert raw.is_closed(), "the connection goes on after a head that cannot be trusted"


@pytest.mark.parametrize("name", BAD_CHUNKS)
def test_hz29_bad_chunks(door, name):
    address, path, host, token = door
    method = "PUT" if "files" in path else "POST"
    with RawHttp(address) as raw:
        raw.send(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
                 "Transfer-Encoding: chunked\r\n\r\n".encode() + BAD_CHUNKS[name])
        answer = raw.answer()
        assert answer is not None and answer.status == 400, answer
        assert raw.is_closed()


def test_hz29_nothing_was_smuggled(shared_sandbox):
    assert shared_sandbox.data.get("/files/exists?path=/workspace/smuggled").json()["exists"] is False


def test_hz29_pipelined_requests_are_answered_in_order(door):
    address, _, host, token = door
    with RawHttp(address) as raw:
        path = "/v1/sandboxes?limit=1" if host.startswith("api.") else "/runtime/v1/process"
        raw.send(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n".encode() * 3)
        assert [raw.answer().status for _ in range(3)] == [200, 200, 200]


def test_hz29_a_head_too_large(door):
    address, path, host, token = door
    with RawHttp(address) as raw:
        raw.send(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nX-Filler: ".encode())
        try:
            raw.send(b"a" * 1_000_000 + b"\r\n\r\n")
        except OSError:
            pass
        try:
            answer = raw.answer()
        except AssertionError:
            answer = None
        assert answer is None or answer.status in (400, 413, 414, 431), answer


def test_hz29_slow_heads_end_by_a_deadline(door):
    address, path, host, _ = door
    begin = time.monotonic()
    with RawHttp(address, timeout_s=90) as raw:
        raw.send(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n".encode())
        try:
            while time.monotonic() - begin < 80:
                raw.send(b"X-A: b\r\n")
                raw.sock.settimeout(1)
                try:
                    if not raw._more() or b"\r\n\r\n" in raw.pending:
                        break
                except TimeoutError:
                    pass
        except (BrokenPipeError, ConnectionResetError):
            pass
    assert time.monotonic() - begin < 75
