# SPDX-License-Identifier: Apache-2.0
"""The agent's processes over its link: streams, the end, stdin, terminals, limits; and the REST routes beside it."""
import hashlib
import json
import os
import struct
import tempfile
import time

import pytest

from support.agent_link import FRAME, START, STRANGER, Closed, run_agent


@pytest.fixture(scope="module")
def agent():
    with tempfile.TemporaryDirectory(prefix="bivouac-agent-") as folder:
        yield from run_agent(folder)


@pytest.fixture
def link(agent):
    link = agent.link()
    link.until(lambda: link.synced)
    yield link
    link.close()


def sh(link, script, **fields):
    return link.run("sh", "-c", script, user=fields.pop("user", "root"), **fields)


def alive(os_pid):
    """Whether it runs; a zombie does not."""
    try:
        with open(f"/proc/{os_pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def until(check, timeout_s=10):
    end = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < end
        time.sleep(0.02)


# ---- streams and the end ----

def test_output_and_exit_code(link):
    out, err, end = sh(link, "echo out; echo err >&2; exit 7")
    assert (out, err, end["exit_code"], end["error"]) == (b"out\n", b"err\n", 7, None)


def test_started_says_what_runs(agent, link):
    pid = link.start("echo", "a b", "ü", user="root", tag="t", cwd="/")
    link.wait_exit(pid)
    cursor, kind, data = link.frames[pid][0]
    started = json.loads(data)
    assert (cursor, kind) == (1, "started")
    assert started["cmd"] == "echo" and started["args"] == ["a b", "ü"] and started["cwd"] == "/" and started["tag"] == "t"
    assert started["user"] == "root" and started["pty"] is False and started["os_pid"] > 0
    assert abs(started["started_at_us"] / 1e6 - time.time()) < 60


def test_user_groups_cwd_environment(agent, link):
    out, _, _ = link.run("sh", "-c", "id -u; id -G; pwd; echo $HOME $USER $LOGNAME; echo $X; umask; cat /proc/self/oom_score_adj", user=STRANGER, env={"X": "y=z"})
    uid, gids, cwd, names, x, mask, oom = out.decode().splitlines()
    assert uid == "65534" and gids == "65534" and cwd == agent.workspace
    assert names == "/nonexistent nobody nobody" and x == "y=z" and mask == "0022" and oom == "0"


def test_nothing_of_the_agent_is_inherited(link):
    out, _, _ = sh(link, "ls /proc/self/fd; grep -E 'Sig(Ign|Blk)' /proc/self/status; ulimit -n; env | grep -ci token", user=STRANGER)
    assert out.split() == b"0 1 2 3 SigBlk: 0000000000000000 SigIgn: 0000000000000000 1024 0".split()


def test_its_own_session_and_group(link):
    out, _, _ = sh(link, "echo $$; ps -o pgid=,sid= -p $$")
    assert len(set(out.split())) == 1


@pytest.mark.parametrize(
    "fields, code",
    [
        ({"cmd": "no-such-command"}, "command_not_found"),
        ({"cmd": "/no/such/file"}, "command_not_found"),
        ({"cmd": "/etc/passwd"}, "permission_denied"),
        ({"cmd": "/"}, "permission_denied"),
        ({"cmd": "true", "cwd": "/no/such/dir"}, "invalid_cwd"),
        ({"cmd": "true", "cwd": "/root", "user": STRANGER}, "invalid_cwd"),
        ({"cmd": "true", "user": "no-such-user"}, "user_not_found"),
        ({"cmd": "true", "id": "a b"}, "invalid_id"),
        ({"cmd": "true", "env": {"A=B": "c"}}, "invalid_env"),
        ({"cmd": ""}, "invalid_start"),
        ({"cmd": "true", "pty": {"cols": 0, "rows": 1}}, "invalid_start"),
        ({"cmd": "true", "args": ["x" * 200000]}, "argument_list_too_long"),
    ],
)
def test_a_start_that_cannot_be(link, fields, code):
    fields = {"user": "root", **fields}
    req = link.request(START, json.dumps(fields).encode())
    result = link.result(req)
    assert result["error"] == code and result["message"]
    link.idle(0.05)
    assert not link.frames  # no process, no frame


def test_a_script_without_a_magic_number_runs(link, agent):
    path = os.path.join(agent.workspace, "plain-script")
    with open(path, "w") as file:
        file.write('echo "$0 $1"\n')
    os.chmod(path, 0o755)
    out, _, end = link.run("./plain-script", "x", user="root")
    assert out.decode().split()[1] == "x" and end["exit_code"] == 0


def test_an_id_is_never_used_again(agent, link):
    assert link.start("true", user="root", id="mine-1") == "mine-1"
    link.wait_exit("mine-1")
    assert link.result(link.start_nowait("true", user="root", id="mine-1"))["error"] == "process_exists"
    # a start that failed has made no process
    assert link.result(link.start_nowait("nope", user="root", id="mine-2"))["error"] == "command_not_found"
    assert link.start("true", user="root", id="mine-2") == "mine-2"
    assert link.start("true", user="root").startswith("proc-")


@pytest.mark.parametrize(
    "script, code, error",
    [
        ("kill -9 $$", -9, "killed"),
        ("kill -TERM $$", -15, "killed"),
        ("kill -SEGV $$", -11, None),
        ("exit 255", 255, None),
    ],
)
def test_exit_codes(link, script, code, error):
    end = sh(link, script)[2]
    assert (end["exit_code"], end["error"]) == (code, error)


def test_hz04_background_child_holds_the_pipe(link):
    begin = time.monotonic()
    out, _, end = sh(link, "(sleep 3; echo late; echo $? >alive-4) & echo hi")
    assert out == b"hi\n" and end["exit_code"] == 0
    assert time.monotonic() - begin < 2
    path = "alive-4"
    until(lambda: sh(link, f"cat {path}")[0] == b"0\n")  # its write found a reader: no SIGPIPE


def test_hz04_background_child_that_never_pauses(link):
    begin = time.monotonic()
    pid = link.start("sh", "-c", "(while :; do echo noise; done) & echo $!; exec sleep 0.2", user="root")
    end = link.wait_exit(pid)
    assert end["exit_code"] == 0 and time.monotonic() - begin < 8
    child = next(int(word) for word in link.output(pid).split() if word.isdigit())
    time.sleep(0.3)
    assert alive(child)
    os.kill(child, 9)


def test_hz04_burst_before_the_exit(link):
    out, _, end = link.run("head", "-c", "10000000", "/dev/zero", user="root")
    assert len(out) == 10000000 and end["exit_code"] == 0


def test_frames_are_text_or_bytes_as_they_were(link):
    script = "import sys,os\nfor i in range(3000): os.write(1, b'\\xe2\\x82\\xac'*(i%7)+b'\\xf0\\x9f')\nos.write(1, bytes(range(256)))"
    want = b"".join(b"\xe2\x82\xac" * (i % 7) + b"\xf0\x9f" for i in range(3000)) + bytes(range(256))
    out, _, _ = link.run("python3", "-c", script, user="root")
    assert out == want


def test_a_character_is_not_split(link):
    script = "import os,time\nfor b in '€€ä🐧'.encode(): os.write(1, bytes([b])); time.sleep(0.005)"
    pid = link.start("python3", "-c", script, user="root")
    link.wait_exit(pid)
    for _, kind, data in link.frames[pid]:
        if kind == "stdout":
            data.decode()
    assert link.output(pid).decode() == "€€ä🐧"


def test_a_held_back_byte_comes_in_time(link):
    pid = link.start("sh", "-c", r"printf '\342'; sleep 5", user="root")
    begin = time.monotonic()
    link.until(lambda: link.output(pid))
    assert link.output(pid) == b"\xe2" and time.monotonic() - begin < 2
    link.ok(link.signal(pid, 9))
    link.wait_exit(pid)


# ---- signals and deadlines ----

def test_hz08_timeout_kills_the_group_and_is_told_apart(link):
    pid = link.start("sh", "-c", "trap '' TERM; sleep 60 & echo $!; wait; sleep 60", user="root", timeout_ms=300)
    end = link.wait_exit(pid)
    assert (end["exit_code"], end["error"]) == (-9, "timeout")
    child = int(link.output(pid))
    until(lambda: not alive(child))


def test_hz08_signal_of_a_group_reaches_grandchildren(link):
    pid = link.start("sh", "-c", "sh -c 'sleep 60 & echo $!; wait' & wait", user="root")
    link.until(lambda: link.output(pid))
    link.ok(link.signal(pid, 15))
    end = link.wait_exit(pid)
    assert (end["exit_code"], end["error"]) == (-15, "killed")
    until(lambda: not alive(int(link.output(pid))))


def test_signal_of_one_process_only(link):
    pid = link.start("sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $!; wait", user="root")
    link.until(lambda: link.output(pid))
    link.ok(link.signal(pid, 9, group=False))
    link.wait_exit(pid)
    child = int(link.output(pid))
    assert alive(child)
    os.kill(child, 9)


def test_a_handled_signal_is_no_kill(link):
    pid = link.start("sh", "-c", "trap 'echo got; exit 5' USR1; echo ready; while :; do sleep 0.05; done", user="root")
    link.until(lambda: link.output(pid))
    link.ok(link.signal(pid, 10))
    end = link.wait_exit(pid)
    assert (end["exit_code"], end["error"]) == (5, None)
    assert link.output(pid) == b"ready\ngot\n"


def test_requests_about_no_process(link):
    assert link.result(link.signal("nobody", 9))["error"] == "process_not_found"
    assert link.result(link.stdin("nobody", b"x"))["error"] == "process_not_found"
    assert link.result(link.resize("nobody", 10, 10))["error"] == "process_not_found"
    link.send_ack("nobody", 1)
    link.resend("nobody", 0)
    link.ping(7)
    link.until(lambda: link.pongs == [7])


# ---- stdin ----

def test_stdin_then_its_end(link):
    pid = link.start("sh", "-c", "cat; echo end", user="root", stdin=True)
    for piece in (b"one\n", b"", b"two\n"):
        link.ok(link.stdin(pid, piece))
    link.ok(link.close_stdin(pid))
    link.wait_exit(pid)
    assert link.output(pid) == b"one\ntwo\nend\n"
    assert link.result(link.stdin(pid, b"late"))["error"] == "stdin_closed"


def test_without_stdin(link):
    pid = link.start("cat", user="root")
    assert link.wait_exit(pid)["exit_code"] == 0
    pid = link.start("sleep", "5", user="root")
    assert link.result(link.stdin(pid, b"x"))["error"] == "stdin_not_open"
    link.ok(link.signal(pid, 9))


def test_stdin_is_answered_when_it_was_taken(link):
    pid = link.start("sleep", "60", user="root", stdin=True)
    big = link.stdin(pid, b"x" * 1000000)
    link.idle(0.3)
    assert big not in link.results  # nobody reads it
    refused = [link.stdin(pid, b"x" * 1000000), link.stdin(pid, b"x" * 1000000)]
    assert link.result(refused[1])["error"] == "stdin_full"
    other = sh(link, "echo others go on")
    assert other[0] == b"others go on\n"
    link.ok(link.signal(pid, 9))
    assert link.result(big)["error"] == "stdin_closed"
    link.wait_exit(pid)


def test_a_megabyte_through_cat(link):
    pid = link.start("sh", "-c", "sha256sum", user="root", stdin=True)
    data = os.urandom(1000000)
    for i in range(5):
        link.ok(link.stdin(pid, data))
    link.ok(link.close_stdin(pid))
    link.wait_exit(pid)
    assert link.output(pid).split()[0].decode() == hashlib.sha256(data * 5).hexdigest()


# ---- terminals ----

def test_hz07_terminal_size_resize_and_control_d(link):
    script = """
import os, signal, sys
def show(*_):
    size = os.get_terminal_size(0)
    os.write(1, b"%d %d\\n" % (size.lines, size.columns))
signal.signal(signal.SIGWINCH, show)
show()
print("ready", flush=True)
for line in sys.stdin:
    print("got", line, flush=True)
print("over", flush=True)
"""
    pid = link.start("python3", "-c", script, user="root", pty={"cols": 100, "rows": 30})
    link.until(lambda: b"ready" in link.output(pid, "pty"))
    assert link.output(pid, "pty").startswith(b"30 100")
    link.ok(link.resize(pid, 120, 40))
    link.ok(link.stdin(pid, b"hello\n"))
    link.until(lambda: b"got hello" in link.output(pid, "pty"))
    link.until(lambda: b"40 120" in link.output(pid, "pty"))
    link.ok(link.close_stdin(pid))  # ^D
    end = link.wait_exit(pid)
    assert end["exit_code"] == 0 and link.output(pid, "pty").rstrip().endswith(b"over")
    assert not link.output(pid) and not link.output(pid, "stderr")


def test_hz07_interrupt_by_key(link):
    pid = link.start("sh", "-c", "echo ready; exec sleep 60", user="root", pty={"cols": 80, "rows": 24})
    link.until(lambda: b"ready" in link.output(pid, "pty"))
    link.ok(link.stdin(pid, b"\x03"))
    assert link.wait_exit(pid)["exit_code"] == -2


def test_hz07_nothing_is_lost_at_the_end_of_a_terminal(link):
    pid = link.start("seq", "1", "20000", user="root", pty={"cols": 80, "rows": 24})
    link.wait_exit(pid)
    assert link.output(pid, "pty") == b"".join(b"%d\r\n" % i for i in range(1, 20001))


def test_terminal_belongs_to_its_user(link):
    pid = link.start("sh", "-c", "tty; stat -c '%U %a' $(tty); echo x >/dev/tty", user=STRANGER, pty={"cols": 80, "rows": 24})
    link.wait_exit(pid)
    assert f"{STRANGER} 620".encode() in link.output(pid, "pty")


def test_standard_streams_by_name(link):
    out, err, end = sh(link, "echo a >/dev/stdout; echo b >/dev/stderr; cat /dev/stdin", user=STRANGER)
    assert (out, err, end["exit_code"]) == (b"a\n", b"b\n", 0)


def test_resize_needs_a_terminal(link):
    pid = link.start("sleep", "5", user="root")
    assert link.result(link.resize(pid, 10, 10))["error"] == "not_a_terminal"
    link.ok(link.signal(pid, 9))


# ---- links ----

def test_hz01_a_cut_link_loses_and_repeats_nothing(agent, link):
    script = "import sys,time\nfor i in range(20000):\n print(i)\n if i%500==0: sys.stdout.flush(); time.sleep(0.01)"
    link.ack = False
    pid = link.start("python3", "-c", script, user="root")
    seen = {}

    def take(source):
        for cursor, kind, data in source.frames[pid]:
            assert seen.setdefault(cursor, (kind, data)) == (kind, data)

    link.until(lambda: len(link.frames[pid]) > 5)
    take(link)
    acked = link.frames[pid][3][0]
    link.send_ack(pid, acked)
    link.ping(1)
    link.until(lambda: link.pongs)
    link.close()
    second = agent.link()
    second.ack = False
    second.until(lambda: len(second.frames[pid]) > 5)
    assert second.frames[pid][0][0] == acked + 2
    take(second)
    second.close()
    third = agent.link()
    third.wait_exit(pid)
    take(third)
    third.close()
    assert sorted(seen) == list(range(1, 2 * len(seen), 2))
    text = b"".join(seen[c][1] for c in sorted(seen) if seen[c][0] == "stdout")
    assert text == b"".join(b"%d\n" % i for i in range(20000))


def test_hz01_acknowledged_frames_can_be_sent_again_for_a_while(link):
    pid = link.start("sh", "-c", "echo one; sleep 0.2; echo two", user="root")
    link.wait_exit(pid)
    link.ping(1)
    link.until(lambda: 1 in link.pongs)  # all acknowledgements are in
    first = list(link.frames[pid])
    link.frames[pid] = []
    link.resend(pid, 1)  # what comes after the first
    link.until(lambda: link.exit_of(pid))
    assert link.frames[pid] == first[1:]
    link.frames[pid] = []
    link.resend(pid, 0)
    link.until(lambda: link.exit_of(pid))
    assert link.frames[pid] == first
    time.sleep(4.5)
    link.frames[pid] = []
    link.resend(pid, 0)
    link.until(lambda: link.lost)
    assert link.lost == [(pid, 1, first[-1][0])]
    assert not link.frames[pid]


def test_hz02_nobody_listens(agent, link):
    pid = link.start("sh", "-c", "sleep 0.3; echo kept", user="root")
    link.close()
    until(lambda: agent.request("GET", f"/runtime/v1/process/{pid}").json()["status"] == "succeeded")
    late = agent.link()
    assert late.wait_exit(pid)["exit_code"] == 0
    late.check_cursors(pid, first=late.frames[pid][0][0])
    assert late.output(pid) == b"kept\n"
    late.close()


def test_hz05_without_acknowledgement_the_process_waits(agent, link):
    """Sixteen MiB are kept; then the pipe fills, and nothing is dropped."""
    link.ack = False
    pid = link.start("python3", "-c", "import os\nfor i in range(40): os.write(1, bytes([i])*1000000)", user="root")
    link.until(lambda: len(link.output(pid)) > 15 << 20, 60)
    link.idle(1)
    got = len(link.output(pid))
    assert got < 17 << 20
    assert agent.request("GET", f"/runtime/v1/process/{pid}").json()["status"] == "running"
    link.ack = True
    link.send_ack(pid, link.frames[pid][-1][0])
    link.wait_exit(pid, 60)
    link.check_cursors(pid)
    assert link.output(pid) == b"".join(bytes([i]) * 1000000 for i in range(40))


def test_hz05_a_slow_link_slows_nobody(agent, link):
    slow = agent.link()  # reads nothing
    out, _, end = link.run("head", "-c", "60000000", "/dev/zero", user="root", timeout_s=60)
    assert len(out) == 60000000
    assert agent.rss_kib() < 400000
    slow.ack = False
    slow.idle(1)
    assert slow.lost and slow.lost[0][1] > 1  # is told what it has missed
    slow.close()


def test_many_links_see_the_same(agent, link):
    others = [agent.link() for _ in range(5)]
    pid = link.start("seq", "1", "5000", user="root")
    for one in [link, *others]:
        one.wait_exit(pid)
        one.check_cursors(pid)
        assert one.frames[pid] == link.frames[pid]
    for one in others:
        one.close()


def test_twenty_at_once(link):
    pids = [link.start_nowait("sh", "-c", f"seq {i} {i + 2000}", user="root") for i in range(20)]
    pids = [link.result(req)["pid"] for req in pids]
    for i, pid in enumerate(pids):
        assert link.wait_exit(pid)["exit_code"] == 0
        link.check_cursors(pid)
        assert link.output(pid) == b"".join(b"%d\n" % n for n in range(i, i + 2001))


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("<IB", 0, 8),
        struct.pack("<IB", 0x7FFFFFFF, 8),
        struct.pack("<IB", 5, 99) + b"0000",
        struct.pack("<IB", 1, FRAME),  # ours
        struct.pack("<IB", 3, 8) + b"00",
        struct.pack("<IBQB", 10, 6, 1, 0),  # no pid
        struct.pack("<IBQB", 14, 6, 1, 9) + b"bad pid",
    ],
)
def test_hz31_a_link_that_breaks_a_rule_is_cut(agent, link, data):
    link.send_raw(data)
    with pytest.raises((Closed, ConnectionResetError)):
        link.idle(5)
        link.read_message(0.1)
    other = agent.link()
    assert other.run("echo", "fine", user="root")[0] == b"fine\n"
    other.close()


def test_hz31_acknowledging_what_was_never_sent(agent, link):
    pid = link.start("sleep", "5", user="root")
    link.send_ack(pid, 2000001)
    with pytest.raises((Closed, ConnectionResetError)):
        link.idle(5)
        link.read_message(0.1)
    agent.request("DELETE", f"/runtime/v1/process/{pid}?signal=KILL", 200)


def test_link_needs_token_and_upgrade(agent):
    assert agent.request("GET", "/agent/v1/link").status_code == 426
    assert agent.request("GET", "/agent/v1/link", token="0" * 64).status_code == 401


def test_start_that_is_no_json(link):
    assert link.result(link.request(START, b"{"))["error"] == "invalid_start"
    assert link.result(link.request(START, b'{"args":[]}'))["error"] == "invalid_start"


def test_requests_in_one_burst(link):
    """More requests than fit into a buffer, and no answer is missing."""
    reqs = [link.signal("nobody", 9) for _ in range(20000)]
    for req in reqs:
        link.until(lambda: req in link.results)


# ---- REST ----

def test_rest_list_get_delete_signal(agent, link):
    pid = link.start("sleep", "60", user="root", tag="rest", id="rest-1")
    listed = agent.request("GET", "/runtime/v1/process", 200).json()["processes"]
    mine = next(p for p in listed if p["pid"] == pid)
    assert mine["id"] == pid and mine["status"] == "running" and mine["exit_code"] is None and mine["finished_at"] is None
    assert mine["cmd"] == "sleep" and mine["args"] == ["60"] and mine["tag"] == "rest" and mine["pty"] is False and "env" not in mine
    assert agent.request("GET", f"/runtime/v1/process/{pid}", 200).json() == mine
    gone = agent.request("DELETE", f"/runtime/v1/process/{pid}", 200).json()
    assert gone["status"] == "killed" and gone["exit_code"] == -15 and gone["finished_at"]
    again = agent.request("DELETE", f"/runtime/v1/process/{pid}", 200).json()
    assert again == gone
    assert pid not in [p["pid"] for p in agent.request("GET", "/runtime/v1/process", 200).json()["processes"]]
    assert pid in [p["pid"] for p in agent.request("GET", "/runtime/v1/process?all=true", 200).json()["processes"]]


def test_finished_processes_are_bounded(agent, link):
    """The oldest leave, once the gateway has everything of them; memory comes back."""
    for _ in range(12):
        pids = [link.result(req)["pid"] for req in [link.start_nowait("true", user="root") for _ in range(100)]]
        for pid in pids:
            link.wait_exit(pid)
    until(lambda: len(agent.request("GET", "/runtime/v1/process?all=true", 200).json()["processes"]) <= 1000)
    until(lambda: agent.request("GET", "/agent/v1/health", 200).json()["processes"]["frame_bytes"] == 0, 15)
    assert agent.request("GET", f"/runtime/v1/process/{pids[-1]}", 200).json()["status"] == "succeeded"


def test_hz08_rest_grace_then_kill(agent, link):
    pid = link.start("sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done", user="root")
    link.until(lambda: link.output(pid))
    begin = time.monotonic()
    answer = agent.request("DELETE", f"/runtime/v1/process/{pid}?grace_ms=300", 200).json()
    assert answer["status"] == "killed" and answer["exit_code"] == -9
    assert 0.25 < time.monotonic() - begin < 2


@pytest.mark.parametrize("signal", ["SIGINT", "INT", 2, "2"])
def test_rest_signal(agent, link, signal):
    pid = link.start("sh", "-c", "trap 'exit 3' INT; echo ready; while :; do sleep 0.05; done", user="root")
    link.until(lambda: link.output(pid))
    answer = agent.request("POST", f"/runtime/v1/process/{pid}/signal", 200, json={"signal": signal}).json()
    assert answer["status"] == "failed" and answer["exit_code"] == 3


def test_rest_errors(agent):
    assert agent.request("GET", "/runtime/v1/process/none").json()["error"] == "process_not_found"
    assert agent.request("DELETE", "/runtime/v1/process/none", 404).json()["error"] == "process_not_found"
    agent.request("POST", "/runtime/v1/process/none/signal", 404, json={"signal": 9})
    wrong = agent.request("DELETE", "/runtime/v1/process/none?signal=NOPE", 422).json()
    assert wrong["error"] == "invalid_request" and wrong["details"] == {"field": "signal"}
    agent.request("POST", "/runtime/v1/process/none/signal", 422, json={"signal": "NOPE"})
    agent.request("POST", "/runtime/v1/process/none/signal", 422, json={})
    agent.request("POST", "/runtime/v1/process/none/signal", 400, data=b"{")
    agent.request("DELETE", "/runtime/v1/process/none?grace_ms=x", 422)


def test_hz32_no_secret_shows(agent, link):
    secret = "s3cret-value-of-a-variable"
    pid = link.start("sh", "-c", "sleep 1", user="root", env={"SECRET": secret})
    assert secret not in agent.request("GET", "/runtime/v1/process?all=true", 200).text
    link.wait_exit(pid)
    assert secret not in agent.log_text() and agent.token not in agent.log_text()
    with open(f"/proc/{agent.process.pid}/cmdline") as file:
        assert agent.token not in file.read()
    with open(f"/proc/{agent.process.pid}/environ") as file:
        assert agent.token not in file.read()
