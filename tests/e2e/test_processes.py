# SPDX-License-Identifier: Apache-2.0
"""Processes over the WebSocket: what they get, how they end, signals, stdin, terminals."""
import time

import pytest

from bivdev.process_stream import ProcessError
from bivdev.wsocket import Refused
from support import wait


def test_output_and_exit_code(shared_sandbox):
    code, out, err = shared_sandbox.run("bash", "-c", "echo out; echo err >&2; exit 7")
    assert (code, out, err) == (7, b"out\n", b"err\n")


def test_frames_are_numbered_and_typed(shared_sandbox):
    with shared_sandbox.start("echo", "hi") as process:
        process.finish()
        assert [f["type"] for f in process.frames] == ["started", "stdout", "exit"]
        assert [f["cursor"] for f in process.frames] == [1, 3, 5]
        assert process.frames[-1]["exit_code"] == 0 and process.frames[-1]["error"] is None


def test_environment_user_and_folder(shared_sandbox):
    out = shared_sandbox.sh("id -un; pwd; echo $HOME $USER $SHELL $LANG; echo $PATH; echo $EXTRA", env={"EXTRA": "given"})
    user, cwd, line, path, extra = out.splitlines()
    assert (user, cwd, extra) == ("user", "/workspace", "given")
    assert line.split()[:3] == ["/home/user", "user", "/bin/bash"] and "UTF-8" in line
    assert "/usr/bin" in path
    assert shared_sandbox.sh("id -un; pwd", user="root", cwd="/tmp") == "root\n/tmp\n"
    assert shared_sandbox.sh("sudo -n id -u") == "0\n"


def test_output_is_byte_exact(shared_sandbox):
    _, out, _ = shared_sandbox.run("python3", "-c", "import sys; sys.stdout.buffer.write(bytes(range(256)) * 1000)")
    assert out == bytes(range(256)) * 1000


@pytest.mark.parametrize("start, code", [
    (dict(cmd="no-such-command"), "command_not_found"),
    (dict(cmd="/etc/passwd"), "permission_denied"),
    (dict(cmd="ls", cwd="/no/such/folder"), "invalid_cwd"),
    (dict(cmd="ls", user="nobody-here"), "user_not_found"),
])
def test_what_cannot_start_says_why(shared_sandbox, start, code):
    process = shared_sandbox.process()
    with pytest.raises(ProcessError) as error:
        process.start(**start)
    assert error.value.code == code
    assert process.frames == []


def test_hz03_a_signal_is_a_negative_exit_code(shared_sandbox):
    code, _, _ = shared_sandbox.run("bash", "-c", "kill -TERM $$")
    assert code == -15


def test_stdin_and_acks(shared_sandbox):
    with shared_sandbox.start("cat", stdin=True) as process:
        process.stdin("one ")
        process.stdin("two")
        process.close_stdin()
        assert process.finish() == 0
        assert process.output("stdout") == b"one two"
        kinds = [f["type"] for f in process.frames]
        assert kinds.count("stdin_ack") == 2 and kinds.count("close_stdin_ack") == 1


def test_without_stdin_a_process_reads_end_of_file(shared_sandbox):
    assert shared_sandbox.run("cat")[0] == 0


def test_large_stdin_arrives_whole(shared_sandbox):
    payload = bytes(range(256)) * 4096  # 1 MiB
    with shared_sandbox.start("sha256sum", stdin=True) as process:
        for i in range(0, len(payload), 65536):
            process.stdin(payload[i:i + 65536])
        process.close_stdin()
        assert process.finish(60) == 0
    import hashlib
    assert process.output().split()[0].decode() == hashlib.sha256(payload).hexdigest()


def test_hz04_a_background_child_does_not_hold_the_stream(shared_sandbox):
    begin = time.monotonic()
    code, out, _ = shared_sandbox.run("bash", "-c", "(trap 'echo pipe >/tmp/hz04-pipe' PIPE; sleep 3; echo late; echo alive >/tmp/hz04) & echo hi")
    assert (code, out) == (0, b"hi\n")
    assert time.monotonic() - begin < 2.5
    wait.until(lambda: shared_sandbox.read("/tmp/hz04", expect=(200, 404)) == b"alive\n", 10, what="the background child lives on")
    assert shared_sandbox.data.get("/files/exists?path=/tmp/hz04-pipe").json()["exists"] is False, "SIGPIPE"


def test_hz04_a_burst_before_the_exit_is_complete(shared_sandbox):
    code, out, _ = shared_sandbox.run("bash", "-c", "head -c 10000000 /dev/zero | tr '\\0' x", timeout_s=120)
    assert code == 0 and len(out) == 10_000_000 and set(out) == {ord("x")}


def test_hz08_timeout_is_told_apart_from_a_kill(shared_sandbox):
    with shared_sandbox.start("sleep", "60", timeout_ms=500) as process:
        assert process.finish() == -9 and process.exit["error"] == "timeout"
    with shared_sandbox.start("sleep", "60") as process:
        process.signal("SIGKILL")
        assert process.finish() == -9 and process.exit["error"] == "killed"


def test_hz08_kill_of_a_group_reaches_grandchildren(shared_sandbox):
    with shared_sandbox.start("bash", "-c", "bash -c 'sleep 611 & wait' & wait") as process:
        wait.until(lambda: shared_sandbox.run("pgrep", "-f", "sleep 611")[0] == 0)
        shared_sandbox.data.request("DELETE", f"/process/{process.pid}", 200)
        assert process.finish() < 0
    wait.until(lambda: shared_sandbox.run("pgrep", "-fx", "sleep 611")[0] == 1, what="the grandchild is gone")


def test_hz08_kill_follows_after_the_grace_time(shared_sandbox):
    with shared_sandbox.start("bash", "-c", "trap '' TERM; echo up; while true; do sleep 0.1; done") as process:
        process.read_until("up")
        begin = time.monotonic()
        shared_sandbox.data.request("DELETE", f"/process/{process.pid}", 200, params={"grace_ms": 500})
        assert process.finish() == -9
        assert 0.3 < time.monotonic() - begin < 5


@pytest.mark.parametrize("name, code", [("SIGTERM", -15), ("TERM", -15), (15, -15), ("SIGINT", -2), ("HUP", -1)])
def test_signals_by_every_spelling(shared_sandbox, name, code):
    with shared_sandbox.start("sleep", "60") as process:
        shared_sandbox.data.post(f"/process/{process.pid}/signal", {"signal": name}, expect=200)
        assert process.finish() == code


def test_listing_and_one_process(shared_sandbox):
    with shared_sandbox.start("sleep", "60", tag="mine", env={"SECRET": "hidden"}) as process:
        listed = shared_sandbox.data.get("/process").json()["processes"]
        one = next(p for p in listed if p["id"] == process.pid)
        assert one["status"] == "running" and one["tag"] == "mine" and one["cmd"] == "sleep" and one["args"] == ["60"]
        assert one["os_pid"] == process.os_pid and "env" not in one and "hidden" not in str(listed)
        assert shared_sandbox.data.get(f"/process/{process.pid}").json()["pid"] == process.pid
        process.signal("TERM")
        process.finish()
    ended = shared_sandbox.data.get(f"/process/{process.pid}").json()
    assert ended["status"] == "killed" and ended["exit_code"] == -15
    assert all(p["id"] != process.pid for p in shared_sandbox.data.get("/process").json()["processes"])
    assert any(p["id"] == process.pid for p in shared_sandbox.data.get("/process?all=true").json()["processes"])


def test_unknown_process_is_404(shared_sandbox):
    for method, path in (("GET", "/process/proc-none"), ("DELETE", "/process/proc-none"), ("GET", "/process/proc-none/output")):
        answer = shared_sandbox.data.request(method, path, 404)
        assert answer.json()["error"] == "process_not_found"
    with pytest.raises(Refused) as refused:
        shared_sandbox.process().connect("proc-none")
    assert refused.value.status == 404


def test_a_client_chosen_id_is_used_once(shared_sandbox):
    with shared_sandbox.start("true", id="my-own.id:1") as process:
        assert process.pid == "my-own.id:1"
        process.finish()
    with pytest.raises(ProcessError) as error:
        shared_sandbox.start("true", id="my-own.id:1")
    assert error.value.code == "process_exists"


def test_output_by_rest(shared_sandbox):
    with shared_sandbox.start("bash", "-c", "for i in 1 2 3; do echo line $i; sleep 0.2; done; exit 4") as process:
        process.finish()
    got = shared_sandbox.data.get(f"/process/{process.pid}/output").json()
    import base64
    assert b"".join(base64.b64decode(e["data"]) for e in got["events"]) == b"line 1\nline 2\nline 3\n"
    assert got["exit_code"] == 4 and got["status"] == "failed" and got["truncated_before_cursor"] is False
    assert got["next_cursor"] == got["events"][-1]["cursor"] + 3  # the exit has been seen too


def test_hz07_terminal(shared_sandbox):
    with shared_sandbox.start("bash", "--norc", "-i", stdin=True, pty={"cols": 80, "rows": 24}) as process:
        process.stdin("stty size; tty -s && echo is-a-$((1+1))-tty\n")
        process.read_until("is-a-2-tty")
        assert b"24 80" in process.output("pty")
        process.resize(132, 43)
        process.stdin("sleep 0.2; stty size\n")
        process.read_until("43 132")
        process.stdin("sleep 100\n")
        time.sleep(0.5)
        process.stdin(b"\x03")
        process.stdin("echo after-$((2+3))\n")
        process.read_until("after-5")
        process.stdin(b"\x04")
        assert process.finish() == 130 or process.exit["exit_code"] >= 0
        assert process.exit["error"] is None


def test_hz07_a_late_attacher_of_a_terminal_gets_everything_and_the_exit(shared_sandbox):
    with shared_sandbox.start("bash", "-c", "for i in $(seq 40); do echo tick $i; sleep 0.05; done", pty={"cols": 80, "rows": 24}) as process:
        process.read_until("tick 5\r\n")
        with shared_sandbox.process().connect(process.pid, since=0) as late:
            late.finish()
        process.finish()
    assert late.output() == process.output()
    assert [f["cursor"] for f in late.frames if f["type"] == "pty"] == [f["cursor"] for f in process.frames if f["type"] == "pty"]


def test_utf8_is_not_split(shared_sandbox):
    text = "äöü€😀" * 20000
    with shared_sandbox.start("python3", "-c", "print('äöü€😀' * 20000, end='')") as process:
        process.finish()
    assert process.output().decode() == text
    for frame in process.frames:
        if frame["type"] == "stdout":
            frame["bytes"].decode()
            assert len(frame["bytes"]) <= 65536


def test_twenty_at_once(shared_sandbox):
    running = [shared_sandbox.start("bash", "-c", f"echo {i}; sleep 0.5; exit {i}") for i in range(20)]
    for i, process in enumerate(running):
        assert process.finish() == i and process.output() == f"{i}\n".encode()
