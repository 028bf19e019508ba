# SPDX-License-Identifier: Apache-2.0
"""The fault proxy does what it says, or the tests that lean on it say nothing."""
import socket
import threading
import time

import pytest

from support.fault_proxy import Fault, FaultProxy


@pytest.fixture
def echo():
    """A server that sends back what it gets and closes its side after the client's end of file."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve(peer):
        with peer:
            try:
                while data := peer.recv(65536):
                    peer.sendall(data)
                peer.sendall(b"<end>")
            except OSError:
                pass

    def accept():
        while True:
            try:
                peer, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(peer,), daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()
    yield server.getsockname()
    server.close()


@pytest.fixture
def proxy(echo):
    with FaultProxy(*echo) as proxy:
        yield proxy


@pytest.fixture
def client(proxy):
    with socket.create_connection(("127.0.0.1", proxy.port), 5) as client:
        client.sendall(b"hi")
        assert client.recv(10) == b"hi"
        yield client


def receive(client, size):
    data = b""
    while len(data) < size:
        piece = client.recv(size - len(data))
        if not piece:
            break
        data += piece
    return data


def test_passes_bytes_and_half_close(client):
    payload = bytes(range(256)) * 4096
    threading.Thread(target=lambda: (client.sendall(payload), client.shutdown(socket.SHUT_WR))).start()
    assert receive(client, len(payload) + 5) == payload + b"<end>"


def test_delays(client, proxy):
    proxy.set(to_client=Fault(delay_s=0.2))
    begin = time.monotonic()
    client.sendall(b"x")
    assert client.recv(1) == b"x"
    assert time.monotonic() - begin >= 0.2


def test_throttles(client, proxy):
    proxy.set(to_server=Fault(bytes_per_s=100_000))
    begin = time.monotonic()
    client.sendall(b"x" * 50_000)
    assert len(receive(client, 50_000)) == 50_000
    assert 0.4 <= time.monotonic() - begin < 3


def test_stalls_and_goes_on(client, proxy):
    proxy.set(to_client=Fault(stalled=True))
    client.sendall(b"x")
    client.settimeout(0.2)
    with pytest.raises(socket.timeout):
        client.recv(1)
    proxy.set()
    client.settimeout(5)
    assert client.recv(1) == b"x"


def test_corrupts_one_byte(client, proxy):
    proxy.set(to_server=Fault(corrupt_at=2 + 3))
    client.sendall(b"abcdefgh")
    assert receive(client, 8) == b"abceefgh"


def test_cuts_with_a_reset(client, proxy):
    proxy.cut()
    with pytest.raises(ConnectionResetError):
        client.recv(1)


def test_cuts_after_so_many_bytes(client, proxy):
    proxy.set(to_client=Fault(cut_after=2 + 10))
    client.sendall(b"x" * 100)
    with pytest.raises(ConnectionResetError):
        for _ in range(100):
            client.recv(100)


def test_half_closes_to_the_client(client, proxy):
    proxy.half_close_to_client()
    assert client.recv(1) == b""


def test_refuses(proxy):
    proxy.refuse()
    with pytest.raises(ConnectionError), socket.create_connection(("127.0.0.1", proxy.port), 5) as client:
        client.sendall(b"x")
        if client.recv(1) == b"":
            raise ConnectionResetError
