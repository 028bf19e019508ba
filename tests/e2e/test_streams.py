# SPDX-License-Identifier: Apache-2.0
"""Hazards 1, 2, 3, 5, 6: whatever breaks between a process and its watcher, every line arrives once and the exit code is the real one."""
import base64
import threading
import time

import pytest

from bivdev.wsocket import Refused
from support import lines, wait
from support.client import Sandbox
from support.fault_proxy import Fault, FaultProxy


@pytest.fixture
def proxy(cluster):
    with FaultProxy(*cluster.gateway.address) as proxy:
        yield proxy


def started(sandbox, count=400, pause_s=0.01, exit_code=23, connect_to=None):
    return sandbox.process(connect_to=connect_to).start(*lines.program(count, pause_s, exit_code))


def finish_and_check(process, count=400, exit_code=23, timeout_s=90):
    reconnects = process.finish_with_reconnects(timeout_s)
    lines.check(process.output("stdout"), count)
    assert process.exit["exit_code"] == exit_code and process.exit["error"] is None
    return reconnects


def test_hz01_client_cut_many_times(sandbox, proxy):
    process = started(sandbox, connect_to=("127.0.0.1", proxy.port))
    stop = threading.Event()

    def cutter():
        while not stop.wait(0.4):
            proxy.cut()

    thread = threading.Thread(target=cutter)
    thread.start()
    try:
        reconnects = finish_and_check(process)
    finally:
        stop.set()
        thread.join()
    assert reconnects >= 3


@pytest.mark.parametrize("name", ["gateway", "redis", "vmhost", "control"])
def test_hz01_kill_9_in_mid_stream(sandbox, cluster, name):
    process = started(sandbox, count=600)
    process.read_until(b"0000100")
    cluster.daemon(name).kill()
    reconnects = finish_and_check(process, count=600)
    cluster.daemon(name).wait_ready()
    if name == "control":
        assert reconnects == 0, "streams do not pass through control"


def test_hz01_gateway_killed_three_times(sandbox, cluster):
    process = started(sandbox, count=900)
    for mark in (b"0000100", b"0000300", b"0000500"):
        def reached():
            while mark not in process.output():
                process.next(20)
        try:
            reached()
        except Exception:  # the cut of the kill before
            process.cut()
            wait.until(lambda: process.connect() is process, 20, 0.2)
            reached()
        cluster.gateway.kill()
    finish_and_check(process, count=900)


def test_hz01_slow_redis_and_a_cut_to_it(cluster, sandbox):
    """The agent keeps frames until they are stored: stopping Redis for a while delays the stream and loses nothing."""
    process = started(sandbox, count=500)
    process.read_until(b"0000050")
    cluster.redis.pause()
    time.sleep(2)
    cluster.redis.go_on()
    finish_and_check(process, count=500)


def test_hz01_redis_is_away_for_a_while(cluster, sandbox):
    process = started(sandbox, count=800)
    process.read_until(b"0000050")
    cluster.redis.stop()
    time.sleep(3)
    cluster.redis.start()
    cluster.redis.wait_ready()
    finish_and_check(process, count=800)


def test_hz02_output_without_a_watcher_is_kept(sandbox):
    process = started(sandbox, count=200, pause_s=0.005)
    process.cut()
    wait.until(lambda: sandbox.data.get(f"/process/{process.pid}").json()["status"] != "running", 30)
    with sandbox.process().connect(process.pid, since=0) as late:
        assert late.finish() == 23
    lines.check(late.output("stdout"), 200)


def test_hz02_trimming_is_said(sandbox):
    """More than the retention: the oldest frames go, and a reader is told."""
    process = sandbox.start("bash", "-c", "head -c 40000000 /dev/zero | tr '\\0' y; exit 5")
    assert process.finish(180) == 5
    with sandbox.process().connect(process.pid, since=0) as late:
        frame = late.wait_for("started")
        assert frame["truncated"] is True
        assert late.finish(60) == 5
    got = sandbox.data.get(f"/process/{process.pid}/output?since=1&limit_bytes=1000").json()
    assert got["truncated_before_cursor"] is True


def test_hz01_since_last_and_last_plus_one_are_the_same(sandbox):
    process = started(sandbox, count=50, pause_s=0)
    process.finish()
    middle = process.frames[len(process.frames) // 2]["cursor"]
    seen = []
    for since in (middle, middle + 1):
        with sandbox.process().connect(process.pid, since=since) as again:
            again.finish()
            seen.append([(f["cursor"], f["type"]) for f in again.frames])
    assert seen[0] == seen[1]
    assert seen[0][0] == (1, "started") and all(cursor > middle for cursor, _ in seen[0][1:])


def test_hz03_a_lost_process_is_never_given_an_exit(sandbox, cluster):
    """The machine dies under the process: an error frame or a refusal, never an exit frame and never code 0."""
    process = started(sandbox, count=100_000)
    process.read_until(b"0000010")
    before = set(cluster.vmhost.machines())
    sandbox.delete()
    wait.until(lambda: set(cluster.vmhost.machines()) != before, 15)
    with pytest.raises(Exception):
        while True:
            process.next(15)
    assert process.exit is None
    with pytest.raises(Refused) as refused:
        sandbox.process().connect(process.pid, since=0)
    assert refused.value.status in (404, 410)


def test_hz05_a_dead_watcher_slows_nobody(sandbox, cluster):
    """One watcher stops reading while 60 MB go by: the child ends in time, another watcher sees all, memory stays flat."""
    before = cluster.gateway.rss()
    command = "for i in $(seq 60); do head -c 1000000 /dev/zero | tr '\\0' z; done; echo; echo done"
    active = sandbox.process(timeout_s=120).start("bash", "-c", command)
    dead = sandbox.process().connect(active.pid, since=0)
    total, peak = 0, 0
    while active.exit is None:
        frame = active.next(60)
        total += len(frame.get("bytes", b""))
        active.frames.clear()
        peak = max(peak, cluster.gateway.rss()) if total % 7 == 0 else peak
    assert total >= 60_000_000 and active.exit["exit_code"] == 0
    assert cluster.gateway.rss() - before < 64 << 20
    dead.cut()


def test_hz05_a_client_that_leaves_during_start(sandbox):
    for _ in range(20):
        process = sandbox.process()
        process.start("sleep", "0.2", wait=False)
        process.cut()
    assert sandbox.sh("echo fine") == "fine\n"
    wait.until(lambda: not [p for p in sandbox.data.get("/process").json()["processes"] if p["cmd"] == "sleep"], 15)


def test_hz05_ten_watchers_see_the_same(sandbox):
    process = started(sandbox, count=300, pause_s=0.005)
    watchers = []
    for i in range(10):
        watchers.append(Sandbox(sandbox.api, sandbox.sandbox, sandbox.session).process().connect(process.pid, since=0))
        time.sleep(0.1)
    threads = [threading.Thread(target=w.finish, args=(60,)) for w in watchers]
    for thread in threads:
        thread.start()
    process.finish(60)
    for thread in threads:
        thread.join()
    for watcher in watchers:
        assert [(f["cursor"], f.get("data")) for f in watcher.frames[1:]] == [(f["cursor"], f.get("data")) for f in process.frames[1:]]


def test_hz06_a_quiet_stream_stays(sandbox):
    process = sandbox.start("bash", "-c", "sleep 45; echo awake")
    process.finish(90)
    assert process.output() == b"awake\n"


def test_slow_client_network(sandbox, proxy):
    """A trickle: everything arrives, late."""
    process = started(sandbox, count=300, pause_s=0, connect_to=("127.0.0.1", proxy.port))
    proxy.set(to_client=Fault(bytes_per_s=20_000))
    finish_and_check(process, count=300)


def test_stdin_survives_a_reconnect(sandbox):
    process = sandbox.start("cat", stdin=True)
    process.stdin("before ")
    process.wait_for("stdin_ack")
    process.cut()
    process.connect()
    process.stdin("after")
    process.close_stdin()
    process.finish()
    assert process.output("stdout") == b"before after"


def test_output_by_rest_pages_without_gaps(sandbox):
    process = started(sandbox, count=300, pause_s=0)
    process.finish()
    since, collected = 0, b""
    while True:
        got = sandbox.data.get(f"/process/{process.pid}/output?since={since}&limit_bytes=700").json()
        if not got["events"]:
            break
        collected += b"".join(base64.b64decode(e["data"]) for e in got["events"])
        since = got["next_cursor"]
    lines.check(collected, 300)
