# SPDX-License-Identifier: Apache-2.0
"""The gateway with the real agent, run as an ordinary program: what the two make of each other, without a machine between them."""
import hashlib
import os
import signal
import tempfile
import threading
import time

import pytest

from bivdev.process_stream import ProcessError
from support import lines, wait
from support.agent_link import run_agent
from support.gateway_rig import Rig
from support.raw_http import RawHttp


@pytest.fixture(scope="module")
def agent():
    with tempfile.TemporaryDirectory(prefix="bivouac-agent-") as folder:
        yield from run_agent(folder)


@pytest.fixture
def rig(agent):
    with Rig() as rig:
        yield rig


@pytest.fixture
def sandbox(rig, agent):
    sandbox = rig.sandbox(agent)
    wait.until(lambda: rig.health()["links"] == 1, 10)
    return sandbox


def sh(rig, sandbox, script, **fields):
    return rig.process(sandbox, timeout_s=60).start("bash", "-c", script, user="root", cwd="/", **fields)


def test_output_exit_and_replay(rig, sandbox):
    stream = sh(rig, sandbox, "echo out; echo err >&2; exit 3")
    assert stream.finish() == 3
    assert (stream.output("stdout"), stream.output("stderr")) == (b"out\n", b"err\n")
    again = rig.process(sandbox).connect(stream.pid, 0)
    assert again.finish() == 3 and again.output() and again.frames[0]["os_pid"] == stream.os_pid
    answer = rig.get(sandbox, f"/process/{stream.pid}").json()
    assert (answer["pid"], answer["status"], answer["exit_code"]) == (stream.pid, "failed", 3)


def test_hz04_a_background_child_and_a_burst(rig, sandbox):
    begun = time.monotonic()
    stream = sh(rig, sandbox, "sleep 30 & echo hi")
    assert stream.finish() == 0 and stream.output() == b"hi\n" and time.monotonic() - begun < 5
    stream = sh(rig, sandbox, "head -c 10485760 /dev/urandom | tee /dev/stderr 2>/tmp/burst.$$ ; sha256sum /tmp/burst.$$ >&2; rm /tmp/burst.$$")
    assert stream.finish(60) == 0
    assert len(stream.output("stdout")) == 10 << 20
    assert stream.output("stderr").split()[0].decode() == hashlib.sha256(stream.output("stdout")).hexdigest()


def test_stdin_with_back_pressure(rig, sandbox):
    stream = sh(rig, sandbox, "sha256sum", stdin=True)
    data = os.urandom(6 << 20)
    for at in range(0, len(data), 1 << 20):
        stream.stdin(data[at:at + (1 << 20)])
    stream.close_stdin()
    assert stream.finish(60) == 0
    assert stream.output().split()[0].decode() == hashlib.sha256(data).hexdigest()
    assert [f["type"] for f in stream.frames if f["type"].endswith("_ack")] == ["stdin_ack"] * 6 + ["close_stdin_ack"]


def test_hz07_a_terminal(rig, sandbox):
    stream = rig.process(sandbox).start("bash", "--norc", user="root", cwd="/", pty={"cols": 90, "rows": 20}, env={"PS1": "> ", "TERM": "dumb"})
    stream.stdin("stty size\n")
    stream.read_until(b"20 90")
    stream.resize(120, 40)
    stream.stdin("stty size\n")
    stream.read_until(b"40 120")
    other = rig.process(sandbox).connect(stream.pid, 0)
    other.read_until(b"40 120")
    other.stdin("sh -c 'echo $((20+3))going; exec sleep 100'\n")
    other.read_until(b"23going")
    other.stdin("\x03")
    stream.stdin("echo $((40+2))back\n")
    stream.read_until(b"42back\r\n> ")
    stream.stdin("\x04")
    assert stream.finish() == 0 and other.finish() == 0
    assert other.output().endswith(stream.output()[-20:])


def test_hz08_signals_and_timeouts(rig, sandbox):
    stream = sh(rig, sandbox, "sleep 100 & sleep 100")
    stream.signal("TERM")
    assert stream.finish() == -15
    stream = sh(rig, sandbox, "sleep 100", timeout_ms=300)
    assert stream.finish() == -9 and stream.exit["error"] == "timeout"
    stream = sh(rig, sandbox, "sleep 100")
    assert rig.request("DELETE", sandbox, f"/process/{stream.pid}?signal=KILL").json()["status"] == "killed"
    assert stream.finish() == -9 and stream.exit["error"] == "killed"


def test_errors_of_a_start(rig, sandbox):
    for fields, code in (({"cmd": "/none/such"}, "command_not_found"), ({"cmd": "ls", "cwd": "/none"}, "invalid_cwd"),
                         ({"cmd": "ls", "user": "nobody-here"}, "user_not_found"), ({"cmd": "/etc/passwd"}, "permission_denied")):
        with pytest.raises(ProcessError) as error:
            rig.process(sandbox).start(fields["cmd"], user=fields.get("user", "root"), cwd=fields.get("cwd", "/"))
        assert error.value.code == code


@pytest.mark.parametrize("what", ["gateway", "redis", "client"])
def test_hz01_faults_under_numbered_lines(rig, sandbox, what):
    stream = rig.process(sandbox).start(*lines.program(600, 0.003, 23), user="root", cwd="/")
    stop = threading.Event()

    def trouble():
        while not stop.wait(0.6):
            if what == "gateway":
                rig.stop(signal.SIGKILL)
                rig.start(wait_up=False)
            elif what == "redis":
                rig.redis.kill()
                rig.redis.start()
            else:
                stream.ws.sock.shutdown(2)
    thread = threading.Thread(target=trouble)
    thread.start()
    try:
        stream.finish_with_reconnects(60)
    finally:
        stop.set()
        thread.join()
    rig.wait_up()
    lines.check(stream.output("stdout"), 600)
    assert stream.exit["exit_code"] == 23


def test_hz05_a_reader_that_stalls_does_not_stop_the_process(rig, sandbox):
    dead = sh(rig, sandbox, "seq 1 6000000; echo done >/tmp/stalled-done")
    wait.until(lambda: os.path.exists("/tmp/stalled-done"), 60)
    os.unlink("/tmp/stalled-done")
    dead.cut()


def test_hz25_bodies_of_every_kind(rig, sandbox, agent):
    path = os.path.join(agent.workspace, "kinds")
    url = f"/files?path={path}&user=root"
    for body in (b"", b"x", os.urandom(100_000)):
        assert rig.request("PUT", sandbox, url, data=body).status_code == 200
        assert rig.get(sandbox, url).content == body
        head = rig.request("HEAD", sandbox, url)
        assert (head.status_code, head.headers["X-File-Size"], head.content) == (200, str(len(body)), b"")
    assert rig.request("PUT", sandbox, url, data=iter([b"one ", b"two"])).status_code == 200
    part = rig.get(sandbox, url, headers={"Range": "bytes=2-5"})
    assert (part.status_code, part.content) == (206, b"e tw")
    raw = RawHttp(("127.0.0.1", rig.port))
    raw.send(f"PUT /runtime/v1{url} HTTP/1.1\r\nHost: {rig.host(sandbox)}\r\nAuthorization: Bearer {rig.token(sandbox)}\r\n"
             "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n".encode())
    assert raw.answer().status == 100
    raw.send(b"hello")
    assert raw.answer().status == 200
    assert rig.get(sandbox, url).content == b"hello"
    assert rig.get(sandbox, url, headers={"Range": "bytes=99-"}).status_code == 416


def test_files_and_processes_together(rig, sandbox, agent):
    path = os.path.join(agent.workspace, "hello.py")
    assert rig.request("PUT", sandbox, f"/files?path={path}&user=root", data=b"print('hello')").status_code == 200
    assert rig.get(sandbox, f"/files?path={path}&user=root").content == b"print('hello')"
    stream = rig.process(sandbox).start("python3", path, user="root", cwd="/")
    assert stream.finish() == 0 and stream.output() == b"hello\n"
