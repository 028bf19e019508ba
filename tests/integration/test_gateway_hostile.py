# SPDX-License-Identifier: Apache-2.0
"""Hazard 31: whatever an agent says, it harms its own sandbox only. Each test ends with another sandbox that works."""
import json
import os
import random
import socket
import struct
import threading
import time

import pytest

from bivdev.process_stream import ProcessError
from bivdev.wsocket import Closed, Refused
from support import wait
from support.fake_agent import FRAME, LOST, RESULT, STDOUT, SYNCED, frame, message, pid_bytes
from support.gateway_rig import Rig

STARTED = json.dumps({"os_pid": 1, "started_at_us": 1, "cmd": "x", "args": [], "pty": False, "stdin": False}).encode()
EXIT = json.dumps({"exit_code": 0, "error": None, "finished_at_us": 1}).encode()


@pytest.fixture(scope="module")
def rig():
    with Rig() as rig:
        yield rig


@pytest.fixture(scope="module")
def good(rig):
    def program(proc):
        proc.emit("fine")
        proc.end(0)
    return rig.sandbox(program=program)


@pytest.fixture(autouse=True)
def others_are_fine(rig, good):
    yield
    stream = rig.process(good).start("x")
    assert stream.finish() == 0 and stream.output() == b"fine"
    assert rig.health()["status"] == "ok"


def say(rig, data, repeat=1):
    """A sandbox whose agent says this after the upgrade; returns how often it was connected to within a second."""
    calls = []

    def script(sock):
        calls.append(sock)
        try:
            for _ in range(repeat):
                sock.sendall(data)
            sock.settimeout(20)
            while sock.recv(65536):
                pass
        except OSError:
            pass
    agent = rig.agent()
    agent.link_script = script
    sandbox = rig.sandbox(agent, wait_link=False)
    wait.until(lambda: calls, 5)
    return sandbox, agent, calls


def broken(rig, data):
    before = rig.metric("bivouac_gateway_agent_rule_breaks_total")
    sandbox, _, calls = say(rig, data)
    wait.until(lambda: len(calls) > 1 or rig.metric("bivouac_gateway_agent_rule_breaks_total") > before, 10,
               what="the link to be cut")
    rig.vmhost.gone(sandbox)


@pytest.mark.parametrize("data", [
    b"GET / HTTP/1.1\r\n\r\n",
    struct.pack("<IB", 0, 1),
    struct.pack("<IB", 1 << 30, FRAME),
    message(1, b"\0\0\0\0{}"),                                          # ours to say
    message(200, b""),
    message(FRAME, b""),
    message(FRAME, struct.pack("<BQ", 2, 3) + b"\x05ab"),               # pid cut short
    frame("p 1", STDOUT, 3, b"x"),
    frame("", STDOUT, 3, b"x"),
    frame("p1", 9, 3, b"x"),
    frame("p1", STDOUT, 2, b"x"),                                        # even
    frame("p1", STDOUT, 1, b"x"),                                        # 1 is `started`
    frame("p1", 1, 3, STARTED),
    frame("p1", STDOUT, (1 << 53) + 1, b"x"),
    frame("p1", STDOUT, 3, b"x" * 65537),
    frame("p1", 1, 1, b"{"),
    frame("p1", 1, 1, b'{"os_pid":"1"}'),
    frame("p1", 1, 1, STARTED) + frame("p1", 5, 3, b'{"exit_code":"zero"}'),
    frame("p1", 1, 1, STARTED) + frame("p1", 5, 3, EXIT) + frame("p1", STDOUT, 5, b"after the exit"),
    message(LOST, struct.pack("<QQ", 5, 3) + pid_bytes("p1")),
], ids=range(20))
def test_hz31_nonsense_ends_the_link(rig, data):
    broken(rig, data)


def test_hz31_noise(rig):
    rng = random.Random(7)
    sandboxes = [say(rig, bytes(rng.randrange(256) for _ in range(rng.randrange(1, 3000))))[0] for _ in range(20)]
    time.sleep(0.5)
    for sandbox in sandboxes:
        rig.vmhost.gone(sandbox)


def test_hz31_endless_processes(rig):
    """Pids without end: a limit, not memory."""
    flood = b"".join(frame(f"flood-{i}", 1, 1, STARTED) for i in range(3000))
    before = rig.metric("bivouac_gateway_agent_rule_breaks_total")
    sandbox, _, _ = say(rig, flood)
    wait.until(lambda: rig.metric("bivouac_gateway_agent_rule_breaks_total") > before, 20)
    assert rig.health()["streams"] < 2100  # the sandboxes of other tests have some too
    rig.vmhost.gone(sandbox)
    wait.until(lambda: rig.health()["streams"] < 100, 20)
    wait.until(lambda: not rig.redis.client().keys(f"*{{{sandbox['id']}}}*"), 20)


def test_hz31_endless_output(rig):
    """Output without end is trimmed as anybody's, and does not stop others."""
    data = frame("p1", 1, 1, STARTED)
    stop = threading.Event()

    def script(sock):
        cursor = 3
        try:
            sock.sendall(data + message(SYNCED))
            while not stop.is_set():
                sock.sendall(b"".join(frame("p1", STDOUT, cursor + 2 * i, b"x" * 60000) for i in range(16)))
                cursor += 32
        except OSError:
            pass
    agent = rig.agent()
    agent.link_script = script
    sandbox = rig.sandbox(agent, wait_link=False)
    before = rig.rss()
    time.sleep(4)
    assert rig.rss() - before < 64 << 20
    stop.set()
    memory = rig.redis.client().memory_usage(f"frames:{{{sandbox['id']}}}:p1", samples=0)
    assert memory < 12 << 20
    rig.vmhost.gone(sandbox)


def test_hz31_gaps_and_lost_frames_that_make_no_sense(rig):
    """It may only confuse those who watch it."""
    data = frame("p1", 1, 1, STARTED) + message(SYNCED)
    for i in range(50):
        data += frame("p1", STDOUT, 1001 + 1000 * i, b"x")
    sandbox, _, calls = say(rig, data)
    time.sleep(1)
    rig.vmhost.gone(sandbox)


def test_hz31_a_cursor_at_the_end_of_all_numbers(rig):
    last = (1 << 53) - 1
    data = frame("p1", 1, 1, STARTED) + message(SYNCED) + message(LOST, struct.pack("<QQ", 3, last) + pid_bytes("p1"))
    data += message(LOST, struct.pack("<QQ", 3, (1 << 64) - 1) + pid_bytes("p1"))
    sandbox, _, _ = say(rig, data)
    time.sleep(0.5)
    rig.vmhost.gone(sandbox)


@pytest.mark.parametrize("result", [b"", b"{", b"[]", b'{"pid":7}', b'{"pid":"a b"}', b'{}', b'{"error":"<script>","message":"x"}',
                                    b'{"error":"fine","message":"' + b"m" * 5000 + b'"}'])
def test_hz31_results_that_make_no_sense(rig, result):
    agent = rig.agent()
    agent.on_start = lambda link, req, spec: link.send(message(RESULT, struct.pack("<I", req) + result) * 3)
    sandbox = rig.sandbox(agent)
    with pytest.raises(ProcessError) as error:
        rig.process(sandbox).start("x")
    assert error.value.code in ("start_failed", "start_interrupted", "fine")
    rig.vmhost.gone(sandbox)


def test_hz31_an_existing_pid_for_a_new_start(rig):
    agent = rig.agent(lambda proc: proc.emit("first"))
    sandbox = rig.sandbox(agent)
    first = rig.process(sandbox).start("x")
    first.wait_for("stdout")
    agent.on_start = lambda link, req, spec: link.result(req, pid=first.pid, os_pid=1)
    second = rig.process(sandbox).start("y")
    assert second.wait_for("stdout")["bytes"] == b"first"
    rig.vmhost.gone(sandbox)


@pytest.mark.parametrize("answer", [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70000 + b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n",
    b"HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 100 X\r\n\r\n" * 1000,
    b"HTTP/9.9 200 OK\r\n\r\n",
    b"\0\0\0\0\r\n\r\n",
    b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
], ids=range(10))
def test_hz31_http_answers_that_make_no_sense(rig, answer):
    import requests
    agent = rig.agent()
    sandbox = rig.sandbox(agent)
    agent.http = lambda *_: (0, answer)
    for path in ("/files?path=/x", "/process", "/process/p1", "/process?all=true"):
        try:
            got = rig.get(sandbox, path)
            assert got.status_code in (502, 503), (path, got.status_code, got.text[:200])
        except requests.exceptions.RequestException:
            pass  # cut in the middle
    rig.vmhost.gone(sandbox)


def test_hz31_a_list_that_lies(rig):
    agent = rig.agent(lambda proc: proc.emit("x"))
    sandbox = rig.sandbox(agent)
    stream = rig.process(sandbox).start("x")
    stream.wait_for("stdout")
    lies = [{"processes": "x"}, {"processes": [1, None, {"pid": 5}, {"pid": "a b"}, {"pid": "x" * 500, "status": "running"}]}, [],
            {"processes": [{"pid": f"ghost-{i}", "status": "running"} for i in range(5000)]}, b"{", b"x" * 3_000_000]
    for lie in lies:
        agent.http = lambda method, path, headers, body, lie=lie: (200, lie) if path == "/runtime/v1/process?all=true" else None
        agent.cut_links()
        time.sleep(0.3)
        wait.until(lambda: agent.links, 10)
    rig.vmhost.gone(sandbox)


def test_hz31_an_agent_that_takes_nothing(rig):
    """Does not read its link: input waits in bounds, the client is told or waits, nothing else stops."""
    agent = rig.agent()
    held = threading.Event()

    def script(sock):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(message(SYNCED) + frame("p1", 1, 1, STARTED))
        held.wait(20)
    agent.link_script = script
    agent.add("p1", {"cmd": "x", "stdin": True})
    sandbox = rig.sandbox(agent, wait_link=False)
    wait.until(lambda: rig.redis.client().exists(f"proc:{{{sandbox['id']}}}:p1"), 10)
    stream = rig.process(sandbox, timeout_s=3).connect("p1", 0)
    before = rig.rss()
    try:
        for _ in range(60):
            stream.stdin(os.urandom(1 << 20))
    except (OSError, TimeoutError, Closed):
        pass
    assert rig.rss() - before < 100 << 20
    stream.cut()
    held.set()
    rig.vmhost.gone(sandbox)


def test_hz31_a_slow_answer_holds_nobody():
    with Rig(agent_deadline_ms=800) as rig:
        agent = rig.agent()
        sandbox, other = rig.sandbox(agent), rig.sandbox(program=lambda proc: proc.end(0))
        agent.http = lambda *_: time.sleep(3) or (200, {})
        begun = time.monotonic()
        answer = rig.get(sandbox, "/files?path=/x")
        assert (answer.status_code, answer.json()["error"]) == (503, "sandbox_overloaded")
        assert time.monotonic() - begun < 2.5
        assert rig.get(sandbox, "/process/p1").status_code == 503
        assert rig.process(other).start("x").finish() == 0


def test_bad_routes_from_vmhost(rig):
    """vmhost is trusted with the routes, not with the gateway's life."""
    rig.vmhost.tell(t="route", id="x", rt="short", generation=1, state="running", agent_token="1", team="1", deadline_ms=1)
    for raw in (b"{", b"[]", b'{"t":"nonsense"}', b'{"t":"route"}', b'{"t":"connected","req":999}', b"\xff" * 60000):
        with rig.vmhost.lock:
            clients = list(rig.vmhost.clients)
        for sock in clients:
            try:
                sock.send(raw)
            except OSError:
                pass
        wait.until(lambda: rig.health()["gate"] == "up", 10)
    assert rig.health()["routes"] >= 1


def test_a_stranger_on_an_open_connection(rig, good):
    """Descriptors that nobody asked for are closed."""
    def fds():
        return len(os.listdir(f"/proc/{rig.child.pid}/fd"))
    before = fds()
    with rig.vmhost.lock:
        clients = list(rig.vmhost.clients)
    for _ in range(50):
        a, b = socket.socketpair()
        socket.send_fds(clients[-1], [b'{"t":"connected","req":12345}'], [a.fileno(), b.fileno()])
        a.close()
        b.close()
    wait.until(lambda: rig.health()["gate"] == "up", 5)
    assert fds() <= before + 2


def test_refused_connections(rig):
    rig.vmhost.refuse = "connect_failed"
    try:
        sandbox = rig.sandbox(wait_link=False)
        wait.until(lambda: rig.health()["routes"] >= 2, 5)
        answer = rig.get(sandbox, "/files?path=/x")
        assert answer.status_code == 503
    finally:
        rig.vmhost.refuse = None
    wait.until(lambda: sandbox["agent"].links, 10)  # it is tried again
    with pytest.raises((Refused, ProcessError)):
        rig.process(sandbox).start("missing")
    rig.vmhost.gone(sandbox)
