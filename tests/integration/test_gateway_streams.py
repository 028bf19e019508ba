# SPDX-License-Identifier: Apache-2.0
"""Hazards 1 to 7 on the gateway's side, with an agent that the test plays: store, then acknowledge, then show; nothing twice, nothing lost."""
import os
import signal
import threading
import time

import pytest

from bivdev.process_stream import ProcessError
from bivdev.wsocket import Closed, Refused
from support import lines, wait
from support.fake_agent import PTY, STDERR, STDOUT
from support.fault_proxy import FaultProxy
from support.gateway_rig import Rig


def numbered(count, pause_s=0.002, code=7):
    def program(proc):
        for i in range(count):
            proc.emit(f"{i:07d}\n")
            if pause_s:
                time.sleep(pause_s)
        proc.end(code)
    return program


@pytest.fixture
def rig():
    with Rig() as rig:
        yield rig


@pytest.fixture(scope="module")
def calm():
    """For tests that break nothing."""
    with Rig() as rig:
        yield rig


def finish(stream, count, code=7, timeout_s=60):
    reconnects = stream.finish_with_reconnects(timeout_s)
    lines.check(stream.output("stdout"), count)
    assert stream.exit["exit_code"] == code
    return reconnects


# ---- the plain way ----

def test_frames_on_the_wire(calm):
    def program(proc):
        proc.emit("out")
        proc.emit("err", STDERR)
        proc.end(3)
    sandbox = calm.sandbox(program=program)
    stream = calm.process(sandbox).start("x", "a", cwd="/tmp", env={"A": "1"}, tag="t")
    assert stream.finish() == 3
    started, out, err, end = stream.frames
    assert started == {"type": "started", "pid": stream.pid, "os_pid": 4242, "cursor": 1}
    assert (out["type"], out["data"], out["cursor"], out["pid"]) == ("stdout", "b3V0", 3, stream.pid)
    assert (err["type"], err["data"], err["cursor"]) == ("stderr", "ZXJy", 5)
    assert end == {"type": "exit", "pid": stream.pid, "exit_code": 3, "error": None, "cursor": 7}
    spec = sandbox["agent"].proc(stream.pid).spec
    assert (spec["cmd"], spec["args"], spec["cwd"], spec["env"], spec["tag"]) == ("x", ["a"], "/tmp", {"A": "1"}, "t")


def test_a_command_that_cannot_start(calm):
    sandbox = calm.sandbox()
    stream = calm.process(sandbox)
    with pytest.raises(ProcessError) as error:
        stream.start("missing")
    assert error.value.code == "command_not_found"
    with pytest.raises(Closed) as closed:
        stream.next(5)
    assert closed.value.code == 1000


def test_hz07_killed_and_timed_out_are_told_apart(calm):
    for code, error in ((-9, "killed"), (-9, "timeout"), (-15, None)):
        sandbox = calm.sandbox(program=lambda proc, c=code, e=error: proc.end(c, e))
        stream = calm.process(sandbox).start("x")
        stream.finish()
        assert (stream.exit["exit_code"], stream.exit["error"]) == (code, error)


def test_ids(calm):
    sandbox = calm.sandbox()
    assert calm.process(sandbox).start("x", id="mine:1").finish() == 0
    for _ in range(2):
        with pytest.raises(ProcessError) as error:
            calm.process(sandbox).start("x", id="mine:1")
        assert error.value.code == "process_exists"
    # one that could not start was not used
    with pytest.raises(ProcessError):
        calm.process(sandbox).start("missing", id="mine:2")
    assert calm.process(sandbox).start("x", id="mine:2").finish() == 0
    with pytest.raises(ProcessError) as error:
        calm.process(sandbox).start("x", id="no/slash")
    assert error.value.code == "invalid_message" and error.value.message.startswith("id:")


def test_bad_messages(calm):
    sandbox = calm.sandbox(program=lambda proc: None)
    for message in ("", "[]", "{", '{"type":"dance"}', '{"type":"start"}', '{"type":"stdin","data":"aGk="}', '{"type":"signal","signal":"X"}'):
        stream = calm.process(sandbox)
        stream._open("/runtime/v1/process")
        stream.ws.send(message)
        with pytest.raises(ProcessError) as error:
            stream.next(5)
        assert error.value.code == "invalid_message"
        with pytest.raises(Closed) as closed:
            stream.next(5)
        assert closed.value.code == 1008
    stream = calm.process(sandbox)
    stream._open("/runtime/v1/process")
    stream.ws.send(b"\x00binary")
    with pytest.raises(ProcessError):
        stream.next(5)


def test_stdin_acks_in_order(calm):
    sandbox = calm.sandbox(program=lambda proc: None)
    stream = calm.process(sandbox).start("cat", stdin=True)
    for i in range(20):
        stream.stdin(f"line {i}\n")
    stream.close_stdin()
    acks = [stream.next(5)["type"] for _ in range(21)]
    assert acks == ["stdin_ack"] * 20 + ["close_stdin_ack"]
    proc = sandbox["agent"].proc(stream.pid)
    assert b"".join(proc.stdin) == b"".join(f"line {i}\n".encode() for i in range(20))
    assert proc.stdin_closed
    stream.stdin("more")
    with pytest.raises(ProcessError) as error:
        stream.next(5)
    assert error.value.code == "stdin_closed" and "closed" in error.value.message


def test_large_stdin_is_cut_into_pieces_and_acknowledged_once(calm):
    sandbox = calm.sandbox(program=lambda proc: None)
    stream = calm.process(sandbox).start("cat", stdin=True)
    data = bytes(range(256)) * (11 * 4096)  # 11 MiB
    stream.stdin(data)
    assert stream.next(20)["type"] == "stdin_ack"
    assert b"".join(sandbox["agent"].proc(stream.pid).stdin) == data
    with pytest.raises((Closed, ProcessError, ConnectionError)):  # a message above 16 MiB: 1009
        stream.stdin(b"x" * (13 << 20))
        stream.next(10)


def test_input_is_sent_without_waiting_for_started_and_survives_the_socket(calm):
    sandbox = calm.sandbox(program=lambda proc: None)
    stream = calm.process(sandbox).start("cat", stdin=True, wait=False)
    stream.stdin("early")
    stream.close_stdin()
    stream.signal("SIGUSR1")
    stream.close()
    agent = sandbox["agent"]
    wait.until(lambda: agent.procs and agent.proc().stdin_closed, 10)
    assert b"".join(agent.proc().stdin) == b"early"
    wait.until(lambda: agent.proc().signals, 5)
    assert agent.proc().signals == [{"signal": 10, "group": True}]


def test_hz05_a_client_that_leaves_during_the_start(calm):
    """A start message that was read is acted on; nothing hangs on the client."""
    sandbox = calm.sandbox(program=numbered(10, 0))
    agent = sandbox["agent"]
    for i in range(20):
        stream = calm.process(sandbox).start("x", id=f"left-{i}", wait=False)
        stream.cut()
    wait.until(lambda: len(agent.procs) == 20, 10)
    for i in range(20):
        again = calm.process(sandbox).connect(f"left-{i}", 0)
        assert again.finish() == 7
        lines.check(again.output("stdout"), 10)


def test_signals_and_sizes(calm):
    sandbox = calm.sandbox(program=lambda proc: proc.emit("prompt$ ", PTY))
    stream = calm.process(sandbox).start("bash", pty={"cols": 100, "rows": 30})
    stream.wait_for("pty")
    stream.resize(120, 40)
    stream.signal("INT")
    proc = sandbox["agent"].proc(stream.pid)
    assert proc.spec["pty"] == {"cols": 100, "rows": 30} and proc.spec["stdin"] is True
    wait.until(lambda: proc.signals and proc.sizes, 5)
    assert proc.sizes == [(120, 40)] and proc.signals == [{"signal": 2, "group": True}]
    # a second client of the same terminal
    other = calm.process(sandbox).connect(stream.pid, 0)
    assert other.wait_for("pty")["bytes"] == b"prompt$ "
    other.stdin("x")
    assert other.wait_for("stdin_ack")
    assert proc.stdin == [b"x"]
    proc.end(0)
    assert stream.finish() == 0 and other.finish() == 0


# ---- replay ----

def test_since(calm):
    sandbox = calm.sandbox(program=numbered(50, 0))
    pid = calm.process(sandbox).start("x").pid
    for since in (0, 1, 2, 3, 21, 22, 101, 102, 103, 104, 5000):
        again = calm.process(sandbox).connect(pid, since)
        assert again.finish() == 7
        assert again.frames[0]["type"] == "started" and "truncated" not in again.frames[0]
        cursors = [f["cursor"] for f in again.frames if f["type"] == "stdout"]
        assert cursors == [c for c in range(3, 103, 2) if c > since]
    with pytest.raises(Refused) as refused:
        calm.process(sandbox).connect(pid, "x")
    assert refused.value.status == 400


def test_unknown_processes(calm):
    sandbox = calm.sandbox()
    for pid in ("proc-none", "a%2Fb", "x" * 129):
        with pytest.raises(Refused) as refused:
            calm.process(sandbox).connect(pid, 0)
        assert refused.value.status == 404 and b"process_not_found" in refused.value.body


def test_hz02_nobody_attached(calm):
    sandbox = calm.sandbox(program=numbered(500, 0.001))
    stream = calm.process(sandbox).start("x")
    stream.cut()
    time.sleep(1.5)
    finish(calm.process(sandbox).connect(stream.pid, 0), 500)


def test_hz05_dead_and_slow_watchers_disturb_nobody(calm):
    total = 24 << 20
    begun = []

    def program(proc):
        begun.append(time.monotonic())
        for _ in range(total >> 16):
            proc.emit(b"x" * 65536)
        proc.end(0)
        begun.append(time.monotonic())
    sandbox = calm.sandbox(program=program)
    stream = calm.process(sandbox).start("x")
    dead = [calm.process(sandbox).connect(stream.pid, 0) for _ in range(4)]  # they never read
    before = calm.rss()
    assert stream.finish(60) == 0
    assert len(stream.output()) == total
    assert calm.rss() - before < 64 << 20
    for watcher in dead:
        watcher.cut()


def test_hz04_a_burst_larger_than_the_retention_reaches_who_watches(calm):
    def program(proc):
        for i in range(400):
            proc.emit(bytes([i % 251]) * 65536)
        proc.end(0)
    sandbox = calm.sandbox(program=program)
    stream = calm.process(sandbox).start("x")
    assert stream.finish(60) == 0
    assert len(stream.output()) == 400 * 65536
    late = calm.process(sandbox).connect(stream.pid, 0)
    late.finish()
    assert late.frames[0]["truncated"] is True


def test_hz06_a_quiet_stream_stays(calm):
    sandbox = calm.sandbox(program=lambda proc: (time.sleep(4), proc.end(0)))
    stream = calm.process(sandbox).start("sleep")
    assert stream.finish(10) == 0


def test_many_watchers_see_the_same(calm):
    sandbox = calm.sandbox(program=numbered(300, 0.003))
    stream = calm.process(sandbox).start("x")
    watchers = []
    for i in range(8):
        time.sleep(0.1)
        watchers.append(calm.process(sandbox).connect(stream.pid, 0))
    for watcher in [stream, *watchers]:
        assert watcher.finish() == 7
        lines.check(watcher.output("stdout"), 300)


# ---- faults ----

def test_hz01_the_client_is_cut(calm):
    sandbox = calm.sandbox(program=numbered(600))
    stop = threading.Event()
    with FaultProxy("127.0.0.1", calm.port) as proxy:
        stream = calm.process(sandbox, connect_to=("127.0.0.1", proxy.port)).start("x")

        def cutter():
            while not stop.wait(0.15):
                proxy.cut()
        thread = threading.Thread(target=cutter)
        thread.start()
        try:
            reconnects = finish(stream, 600)
        finally:
            stop.set()
            thread.join()
    assert reconnects >= 3


def test_hz01_the_agent_link_is_cut(rig):
    sandbox = rig.sandbox(program=numbered(600))
    stream = rig.process(sandbox).start("x")
    for _ in range(5):
        time.sleep(0.2)
        sandbox["agent"].cut_links()
    assert finish(stream, 600) == 0  # the client notices nothing


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_hz01_the_gateway_is_restarted(rig, signum):
    sandbox = rig.sandbox(program=numbered(900))
    stream = rig.process(sandbox).start("x")
    restarts = []

    def restart():
        for _ in range(3):
            time.sleep(0.4)
            restarts.append(rig.stop(signum))
            rig.start(wait_up=False)
    thread = threading.Thread(target=restart)
    thread.start()
    assert finish(stream, 900) >= 2
    thread.join()
    rig.wait_up()
    assert set(restarts) == {0 if signum == signal.SIGTERM else -signal.SIGKILL}


def test_a_stopping_gateway_says_that_attaching_again_helps(rig):
    sandbox = rig.sandbox(program=lambda proc: None)
    stream = rig.process(sandbox).start("x")
    rig.child.send_signal(signal.SIGTERM)
    with pytest.raises(ProcessError) as error:
        stream.next(5)
    assert "closed" in error.value.message
    with pytest.raises(Closed):
        stream.next(5)
    assert rig.child.wait(10) == 0
    rig.start()


@pytest.mark.parametrize("how", ["restart", "kill", "pause"])
def test_hz01_redis_goes(rig, how):
    sandbox = rig.sandbox(program=numbered(900))
    stream = rig.process(sandbox).start("x")
    stream.read_until(b"0000100")

    def trouble():
        if how == "pause":
            rig.redis.process.send_signal(signal.SIGSTOP)
            time.sleep(7)  # longer than a command's deadline
            rig.redis.process.send_signal(signal.SIGCONT)
            return
        for _ in range(2):
            rig.redis.kill() if how == "kill" else rig.redis.stop()
            time.sleep(0.5)
            rig.redis.start()
            time.sleep(0.5)
    thread = threading.Thread(target=trouble)
    thread.start()
    finish(stream, 900)
    thread.join()
    again = rig.process(sandbox).connect(stream.pid, 0)
    again.finish()
    lines.check(again.output("stdout"), 900)


def test_hz01_redis_comes_back_without_its_last_seconds(rig):
    """What was stored a moment ago is gone: the agent still has it."""
    sandbox = rig.sandbox(program=lambda proc: None)
    stream = rig.process(sandbox).start("x")
    agent = sandbox["agent"]
    proc = agent.proc(stream.pid)
    for i in range(50):
        proc.emit(f"{i:07d}\n")
    stream.read_until(b"0000049")
    rig.redis.kill()
    rig.redis.forget()  # not even its file
    rig.redis.start()
    wait.until(lambda: rig.redis.client().xlen(f"frames:{{{sandbox['id']}}}:{stream.pid}") == 51, 10)
    for i in range(50, 100):
        proc.emit(f"{i:07d}\n")
    proc.end(7)
    assert stream.finish() == 7
    lines.check(stream.output("stdout"), 100)
    again = rig.process(sandbox).connect(stream.pid, 0)
    again.finish()
    assert "truncated" not in again.frames[0]
    lines.check(again.output("stdout"), 100)


def test_hz01_redis_and_the_agent_have_lost_frames(rig):
    """Then the gap is said, never filled."""
    sandbox = rig.sandbox(program=lambda proc: None)
    stream = rig.process(sandbox).start("x")
    proc = sandbox["agent"].proc(stream.pid)
    for i in range(50):
        proc.emit(f"{i:07d}\n")
    stream.read_until(b"0000049")
    proc.forget_to(61)  # frames 1..61, lines 0..29
    rig.redis.kill()
    rig.redis.forget()
    rig.redis.start()
    wait.until(lambda: rig.metric("bivouac_gateway_frames_lost_total") > 0, 10)
    for i in range(50, 60):
        proc.emit(f"{i:07d}\n")
    proc.end(7)
    assert stream.finish() == 7
    lines.check(stream.output("stdout"), 60)  # it had seen them before
    again = rig.process(sandbox).connect(stream.pid, 0)
    again.finish()
    assert again.frames[0]["truncated"] is True
    assert again.output("stdout").split() == [b"%07d" % i for i in range(30, 60)]


def test_an_exit_that_redis_has_lost_comes_again(rig):
    sandbox = rig.sandbox(program=numbered(5, 0, code=9))
    stream = rig.process(sandbox).start("x")
    assert stream.finish() == 9
    rig.redis.kill()
    rig.redis.forget()
    rig.redis.start()
    again = None

    def whole():
        nonlocal again
        again = rig.process(sandbox).connect(stream.pid, 0)
        return again.finish(3) == 9
    wait.until(whole, 15)
    lines.check(again.output("stdout"), 5)


def test_hz01_vmhost_is_away(rig):
    sandbox = rig.sandbox(program=numbered(400))
    stream = rig.process(sandbox).start("x")
    stream.read_until(b"0000050")
    rig.vmhost.stop()
    wait.until(lambda: rig.health()["gate"] == "down", 5)
    assert rig.process(sandbox).start("x").pid  # the link is there
    assert finish(stream, 400) == 0
    rig.vmhost.start()
    wait.until(lambda: rig.health()["gate"] == "up", 5)
    assert rig.get(sandbox, "/process").status_code == 200


def test_hz03_the_machine_goes(rig):
    sandbox = rig.sandbox(program=numbered(100000, 0.01))
    stream = rig.process(sandbox).start("x")
    stream.read_until(b"0000020")
    rig.vmhost.gone(sandbox, "qemu_died")
    with pytest.raises(ProcessError) as error:
        while True:
            stream.next(5)
    assert error.value.code == "process_lost" and "closed" not in error.value.message
    assert stream.exit is None
    # it comes back from its disk: another agent, which knows nothing
    agent = rig.agent()
    wait.until(lambda: rig.redis.client().hget(f"proc:{{{sandbox['id']}}}:{stream.pid}", "lost") == b"1", 10)
    rig.vmhost.route(sandbox, agent.port, agent.token, generation=2)
    wait.until(lambda: rig.get(sandbox, "/process").status_code == 200, 5)
    with pytest.raises(Refused) as refused:
        rig.process(sandbox).connect(stream.pid)
    assert refused.value.status == 410 and b"process_lost" in refused.value.body
    answer = rig.get(sandbox, f"/process/{stream.pid}/output").json()
    assert (answer["status"], answer["exit_code"], answer["finished_at"]) == ("failed", None, None)
    assert len(answer["events"]) >= 20
    assert rig.get(sandbox, f"/process/{stream.pid}").json()["exit_code"] is None


def test_hz03_another_agent_under_the_same_route(rig):
    """A cold boot while the gateway watches: what the new agent does not know is lost."""
    sandbox = rig.sandbox(program=numbered(100000, 0.01))
    stream = rig.process(sandbox).start("x")
    stream.read_until(b"0000020")
    agent = rig.agent()
    rig.vmhost.route(sandbox, agent.port, agent.token, generation=2)
    with pytest.raises(ProcessError) as error:
        while True:
            stream.next(10)
    assert error.value.code == "process_lost"
    with pytest.raises(Refused) as refused:
        rig.process(sandbox).connect(stream.pid)
    assert refused.value.status == 410


def test_hz03_the_gateway_was_away_when_the_machine_changed(rig):
    sandbox = rig.sandbox(program=numbered(100000, 0.01))
    stream = rig.process(sandbox).start("x")
    stream.read_until(b"0000020")
    rig.kill()
    agent = rig.agent()
    rig.vmhost.route(sandbox, agent.port, agent.token, generation=2)
    rig.start()

    def refused():
        try:
            rig.process(sandbox).connect(stream.pid).close()
        except Refused as error:
            return error.status == 410
    wait.until(refused, 10)


def test_a_start_whose_answer_was_lost(rig):
    """With an id of its own a start is asked again on the next link and finds its own process."""
    sandbox = rig.sandbox(program=numbered(10, 0))
    agent = sandbox["agent"]
    handle = agent.on_start

    def start_and_cut(link, req, spec):
        agent.on_start = handle
        link.result = lambda *_, **__: None
        handle(link, req, spec)
        link.cut()
    agent.on_start = start_and_cut
    stream = rig.process(sandbox).start("x", id="once")
    assert stream.finish() == 7
    lines.check(stream.output("stdout"), 10)
    assert len(agent.procs) == 1
    agent.on_start = start_and_cut
    with pytest.raises(ProcessError) as error:
        rig.process(sandbox).start("x")
    assert error.value.code == "start_interrupted"


def test_a_sandbox_that_does_not_answer(rig):
    rig.conf["agent_deadline_ms"] = 1000
    rig.conf["connect_deadline_ms"] = 1000
    rig.stop()
    rig.start()
    sandbox = rig.sandbox()
    sandbox["agent"].ignore_starts = True
    with pytest.raises(ProcessError) as error:
        rig.process(sandbox).start("x")
    assert error.value.code == "sandbox_overloaded"
    rig.vmhost.mute = True
    mute = rig.sandbox(wait_link=False)
    wait.until(lambda: rig.health()["routes"] == 2, 5)
    answer = rig.get(mute, "/files?path=/x")
    assert (answer.status_code, answer.json()["error"]) == (503, "sandbox_overloaded") and answer.headers["Retry-After"]
    with pytest.raises(Refused) as refused:
        rig.process(mute).start("x")
    assert refused.value.status == 503


def test_requests_before_the_routes_are_known(rig):
    sandbox = rig.sandbox()
    rig.stop()
    rig.vmhost.stop()
    rig.conf["connect_deadline_ms"] = 1500
    rig.start(wait_up=False)
    wait.until(lambda: rig.health()["redis"] == "up", 20)
    answer = rig.get(sandbox, "/process")
    assert answer.status_code == 503 and answer.headers["Retry-After"]
    result = []
    thread = threading.Thread(target=lambda: result.append(rig.get(sandbox, "/process").status_code))
    thread.start()
    time.sleep(0.3)
    rig.vmhost.start()
    thread.join()
    assert result == [200]


def test_redis_is_down_for_a_new_stream(rig):
    rig.conf["connect_deadline_ms"] = 1000
    rig.stop()
    rig.start()
    sandbox = rig.sandbox()
    rig.redis.stop()
    wait.until(lambda: rig.health()["redis"] == "down", 5)
    with pytest.raises(Refused) as refused:
        rig.process(sandbox).start("x")
    assert refused.value.status == 503 and b"storage_unavailable" in refused.value.body
    assert rig.get(sandbox, "/process/p/output").status_code == 503
    assert rig.get(sandbox, "/process").status_code == 200
    rig.redis.start()
    wait.until(lambda: rig.health()["redis"] == "up", 10)
    assert rig.process(sandbox).start("x").finish() == 0


def test_nothing_is_dropped_while_redis_is_away(rig):
    sandbox = rig.sandbox(program=numbered(3000, 0))
    rig.redis.client().ping()
    stream = rig.process(sandbox).start("hold")
    rig.redis.process.send_signal(signal.SIGSTOP)
    time.sleep(1)
    second = rig.process(sandbox).start("x", wait=False)
    time.sleep(1)
    rig.redis.process.send_signal(signal.SIGCONT)
    assert second.finish(30) == 7 and stream.finish(30) == 7
    lines.check(second.output("stdout"), 3000)


def test_several_workers(rig):
    rig.stop()
    rig.conf["workers"] = 3
    rig.start()
    sandbox = rig.sandbox(program=numbered(300, 0.003))
    stream = rig.process(sandbox).start("x")
    others = [rig.process(sandbox).connect(stream.pid, 0) for _ in range(9)]
    for watcher in [stream, *others]:
        assert watcher.finish() == 7
        lines.check(watcher.output("stdout"), 300)
    answer = rig.get(sandbox, f"/process/{stream.pid}/output").json()
    assert answer["total_bytes"] == 2400 and answer["stream_totals"] == {"stdout": 2400, "stderr": 0, "pty": 0}
    # a worker that dies is replaced, its clients come back
    def workers():
        with open(f"/proc/{rig.child.pid}/task/{rig.child.pid}/children") as file:
            return [int(pid) for pid in file.read().split()]
    before = workers()
    assert len(before) == 3
    os.kill(before[1], signal.SIGKILL)
    wait.until(lambda: len(workers()) == 3 and workers() != before, 10)
    again = wait.until(lambda: rig.process(sandbox).connect(stream.pid, 0), 10)
    finish(again, 300)


def test_pushed_out_by_retention(calm):
    def program(proc):
        for i in range(30):
            proc.emit(b"%06d" % i + b"." * 65530)
        time.sleep(0.2)
        for i in range(30, 300):
            proc.emit(b"%06d" % i + b"." * 65530)
        proc.end(0)
    sandbox = calm.sandbox(program=program)
    stream = calm.process(sandbox).start("x")
    stream.cut()
    pid = stream.pid
    wait.until(lambda: calm.get(sandbox, f"/process/{pid}/output?limit_bytes=1").json()["status"] == "succeeded", 30)
    kept = calm.redis.client().memory_usage(f"frames:{{{sandbox['id']}}}:{pid}", samples=0)
    assert kept < 10 << 20
    answer = calm.get(sandbox, f"/process/{pid}/output?since=3&limit_bytes=70000").json()
    assert answer["truncated_before_cursor"] is True and answer["truncated_by_retention"] is True
    assert answer["total_bytes"] == 300 * 65536 and answer["retained_bytes"] < 9 << 20
    assert answer["events"][0]["cursor"] >= answer["first_retained_cursor"] > 3
    again = calm.process(sandbox).connect(pid, answer["first_retained_cursor"] - 1)
    again.finish()
    assert "truncated" not in again.frames[0]
    ttl = calm.redis.client().ttl(f"frames:{{{sandbox['id']}}}:{pid}")
    assert 3000 < ttl <= 3600
    assert calm.redis.client().ttl(f"proc:{{{sandbox['id']}}}:{pid}") > 80000


def test_output_outlives_its_retention_as_a_tombstone(rig):
    rig.stop()
    rig.conf.update(retention_after_exit_s=2, tombstone_s=30)
    rig.start()
    sandbox = rig.sandbox(program=numbered(5, 0))
    stream = rig.process(sandbox).start("x", id="mine")
    stream.finish()
    wait.until(lambda: not rig.redis.client().exists(f"frames:{{{sandbox['id']}}}:mine"), 10)
    again = rig.process(sandbox).connect("mine", 0)
    assert again.finish() == 7
    assert again.frames[0]["truncated"] is True and again.output() == b""
    answer = rig.get(sandbox, "/process/mine/output").json()
    assert answer["exit_code"] == 7 and answer["events"] == [] and answer["truncated_before_cursor"] is True
    sandbox["agent"].procs.clear()
    with pytest.raises(ProcessError) as error:
        rig.process(sandbox).start("x", id="mine")
    assert error.value.code == "process_exists"


def test_bytes_of_any_kind(calm):
    data = [bytes(range(256)), b"\xff\xfe", "ä€😀".encode(), b"\0" * 65536]

    def program(proc):
        for piece in data:
            proc.emit(piece)
        proc.emit(b"", STDOUT)
        proc.end(0)
    sandbox = calm.sandbox(program=program)
    stream = calm.process(sandbox).start("x")
    stream.finish()
    assert stream.output("stdout") == b"".join(data)
    again = calm.process(sandbox).connect(stream.pid, 0)
    again.finish()
    assert again.output("stdout") == b"".join(data)


def test_a_full_redis(rig):
    """Old output of ended processes makes room; what runs waits and loses nothing."""
    redis = rig.redis.client()

    def program(proc):
        if proc.spec["cmd"] == "old":
            for _ in range(60):
                proc.emit(b"x" * 65536)
        else:
            for i in range(200):
                proc.emit(f"{i:07d}\n")
                time.sleep(0.01)
        proc.end(0)
    sandbox = rig.sandbox(program=program)
    for _ in range(3):
        rig.process(sandbox).start("old").finish()
    redis.config_set("maxmemory", redis.info("memory")["used_memory"] + 10_000)
    stream = rig.process(sandbox).start("new")
    assert stream.finish(30) == 0
    lines.check(stream.output("stdout"), 200)
    assert rig.metric("bivouac_gateway_store_refused_total") > 0
    redis.config_set("maxmemory", 1)
    held = rig.process(sandbox).start("new", wait=False)
    time.sleep(2)
    redis.config_set("maxmemory", 0)
    assert held.finish(30) == 0
    lines.check(held.output("stdout"), 200)
