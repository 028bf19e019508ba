# SPDX-License-Identifier: Apache-2.0
"""What passes through to the agent, and what the gateway knows of processes by itself."""
import base64
import hashlib
import os
import threading
import time

import pytest

from bivdev.wsocket import WebSocket
from support import wait
from support.fake_agent import STDERR
from support.gateway_rig import Rig
from support.raw_http import RawHttp


@pytest.fixture(scope="module")
def rig():
    with Rig() as rig:
        yield rig


def ends_with(code=0, text="x"):
    def program(proc):
        proc.emit(text)
        proc.end(code)
    return program


def output_of(answer):
    return b"".join(base64.b64decode(event["data"]) for event in answer["events"])


# ---- files ----

def test_files_pass_through(rig):
    sandbox = rig.sandbox()
    data = os.urandom(300_000)
    assert rig.request("PUT", sandbox, "/files?path=/a+b%2Fc", data=data).json() == {"file": {"bytes": 300_000}}
    assert sandbox["agent"].files["/runtime/v1/files?path=/a+b%2Fc"] == data
    assert rig.get(sandbox, "/files?path=/a+b%2Fc").content == data
    answer = rig.get(sandbox, "/files?path=/none")
    assert (answer.status_code, answer.json()["error"]) == (404, "file_not_found")


def test_chunked_uploads_pass_through(rig):
    sandbox = rig.sandbox()
    pieces = [os.urandom(50_000) for _ in range(10)]
    assert rig.request("PUT", sandbox, "/files?path=/chunked", data=iter(pieces)).status_code == 200
    assert sandbox["agent"].files["/runtime/v1/files?path=/chunked"] == b"".join(pieces)


def test_hz22_large_files_with_flat_memory(rig):
    size = 200 << 20
    block = os.urandom(1 << 20)
    digest = hashlib.sha256()

    class Source:
        left = size >> 20

        def read(self, _):
            if not self.left:
                return b""
            self.left -= 1
            digest.update(block)
            return block

        def __iter__(self):
            while data := self.read(0):
                yield data

    got = []

    def http(method, path, headers, body):
        if method == "PUT":
            got.append(hashlib.sha256(body).digest())
            return 200, {"file": {}}
        return None
    sandbox = rig.sandbox()
    sandbox["agent"].http = http
    before = rig.rss()
    assert rig.request("PUT", sandbox, "/files?path=/large", data=Source(), timeout=120).status_code == 200
    assert rig.rss() - before < 20 << 20
    assert got == [digest.digest()]


def test_an_upgrade_passes_through(rig):
    """files/watch is the agent's own socket."""
    sandbox = rig.sandbox()

    def http(method, path, headers, body):
        if "upgrade" not in headers:
            return None  # the list that the gateway asks for
        assert headers["authorization"] == f"Bearer {sandbox['agent'].token}"
        key = headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        head = f"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        return 0, head.encode() + b"\x81\x05hello"
    sandbox["agent"].http = http
    ws = WebSocket(f"ws://{rig.host(sandbox)}/runtime/v1/files/watch?path=/x", {"Authorization": f"Bearer {rig.token(sandbox)}"}, 10,
                   ("127.0.0.1", rig.port))
    assert ws.recv() == "hello"
    ws.cut()


def test_hz29_nothing_is_smuggled_to_the_agent(rig):
    """A head that two parsers would read differently ends the connection; what is hidden behind it reaches nobody."""
    sandbox = rig.sandbox()
    hidden = b"GET /runtime/v1/files?path=/hidden HTTP/1.1\r\nHost: agent\r\n\r\n"
    head = f"POST /runtime/v1/files?path=/x HTTP/1.1\r\nHost: {rig.host(sandbox)}\r\nAuthorization: Bearer {rig.token(sandbox)}\r\n"
    for framing in ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "Content-Length: 5\r\nContent-Length: 70\r\n",
                    "Transfer-Encoding: xchunked\r\n", "Content-Length : 5\r\n", "X: a\nContent-Length: 5\r\n"):
        raw = RawHttp(("127.0.0.1", rig.port))
        raw.send((head + framing + "\r\n").encode() + b"0\r\n\r\n" + hidden)
        assert raw.answer().status in (400, 501)
        assert raw.answer() is None
    assert not [path for _, path, _ in sandbox["agent"].requests if "hidden" in path or "/x" in path]


def test_an_agent_that_goes_in_the_middle_of_an_answer(rig):
    """The client sees a cut, not a short answer that looks whole."""
    import requests
    sandbox = rig.sandbox()
    sandbox["agent"].http = lambda *_: (0, b"HTTP/1.1 200 X\r\nContent-Length: 1000\r\n\r\nshort")
    agent = sandbox["agent"]

    def close_soon():
        time.sleep(0.3)
        for sock in agent.open:
            try:
                sock.shutdown(2)
            except OSError:
                pass
    threading.Thread(target=close_soon).start()
    with pytest.raises(requests.exceptions.RequestException):
        rig.get(sandbox, "/files?path=/x").content  # noqa: B018


def test_too_many_requests_of_one_sandbox():
    with Rig(sandbox_requests_max=4) as rig:
        sandbox, other = rig.sandbox(program=lambda proc: None), rig.sandbox()
        streams = [rig.process(sandbox).start("x") for _ in range(4)]
        answer = rig.get(sandbox, "/process")
        assert (answer.status_code, answer.json()["error"]) == (429, "too_many_requests") and answer.headers["Retry-After"]
        assert rig.get(other, "/process").status_code == 200
        streams[0].close()
        wait.until(lambda: rig.get(sandbox, "/process").status_code == 200, 5)


# ---- processes ----

def test_list_with_what_the_agent_has_forgotten(rig):
    sandbox = rig.sandbox(program=ends_with(5))
    pids = [rig.process(sandbox).start("x", tag=f"t{i}").pid for i in range(3)]
    for pid in pids:
        wait.until(lambda p=pid: rig.get(sandbox, f"/process/{p}/output").json()["status"] == "failed", 5)
    known = rig.get(sandbox, "/process?all=true").json()["processes"]
    assert {p["pid"] for p in known} == set(pids)
    assert rig.get(sandbox, "/process").json() == {"processes": []}
    del sandbox["agent"].procs[pids[1]]
    listed = {p["pid"]: p for p in rig.get(sandbox, "/process?all=true").json()["processes"]}
    assert set(listed) == set(pids)
    old = listed[pids[1]]
    assert (old["id"], old["status"], old["exit_code"], old["os_pid"], old["cmd"], old["tag"], old["pty"]) == \
        (pids[1], "failed", 5, 4242, "x", "t1", False)
    assert old["started_at"].endswith("Z") and old["finished_at"].endswith("Z") and "env" not in old


def test_one_that_the_agent_has_forgotten(rig):
    sandbox = rig.sandbox(program=ends_with(0))
    stream = rig.process(sandbox).start("x")
    stream.finish()
    sandbox["agent"].procs.clear()
    for method, path in (("GET", ""), ("DELETE", "?signal=TERM"), ("POST", "/signal")):
        answer = rig.request(method, sandbox, f"/process/{stream.pid}{path}", json={"signal": "TERM"} if method == "POST" else None)
        assert answer.status_code == 200 and answer.json()["status"] == "succeeded", answer.text
    for pid in ("proc-none", "a%2Fb"):
        answer = rig.get(sandbox, f"/process/{pid}")
        assert (answer.status_code, answer.json()["error"]) == (404, "process_not_found")
    assert rig.get(sandbox, "/process/none/output").status_code == 404


def test_signal_and_delete_pass_through(rig):
    sandbox = rig.sandbox(program=lambda proc: None)
    stream = rig.process(sandbox).start("x")
    seen = []

    def http(method, path, headers, body):
        if method in ("POST", "DELETE"):
            seen.append((method, path, body))
            return 200, {"pid": stream.pid, "status": "killed"}
    sandbox["agent"].http = http
    assert rig.request("POST", sandbox, f"/process/{stream.pid}/signal", json={"signal": 15}).json()["status"] == "killed"
    assert rig.request("DELETE", sandbox, f"/process/{stream.pid}?kill_group=true&grace_ms=100").json()["status"] == "killed"
    assert seen == [("POST", f"/runtime/v1/process/{stream.pid}/signal", b'{"signal": 15}'),
                    ("DELETE", f"/runtime/v1/process/{stream.pid}?kill_group=true&grace_ms=100", b"")]
    answer = rig.request("DELETE", sandbox, f"/process/{stream.pid}?grace_ms=x")
    assert answer.status_code == 400 and answer.json()["details"] == {"field": "grace_ms"}


# ---- output ----

@pytest.fixture(scope="module")
def printed(rig):
    def program(proc):
        for i in range(10):
            proc.emit(f"out{i}")
            proc.emit(f"err{i}", STDERR)
        proc.end(3)
    sandbox = rig.sandbox(program=program)
    stream = rig.process(sandbox).start("x")
    stream.finish()
    return sandbox, f"/process/{stream.pid}/output", stream.pid


def test_output_of_a_finished_process(rig, printed):
    sandbox, path, pid = printed
    answer = rig.get(sandbox, path).json()
    assert (answer["pid"], answer["status"], answer["exit_code"]) == (pid, "failed", 3)
    assert [e["cursor"] for e in answer["events"]] == list(range(3, 43, 2))
    assert {e["type"] for e in answer["events"]} == {"stdout", "stderr"}
    assert answer["next_cursor"] == 44 and answer["truncated_before_cursor"] is False and answer["truncated"] is False
    assert answer["stream_totals"] == {"stdout": 40, "stderr": 40, "pty": 0}
    assert (answer["total_bytes"], answer["retained_bytes"], answer["returned_bytes"], answer["omitted_bytes"]) == (80, 80, 80, 0)
    assert (answer["first_retained_cursor"], answer["last_retained_cursor"]) == (1, 43)


def test_output_page_by_page(rig, printed):
    sandbox, path, _ = printed
    since, got = 0, b""
    for _ in range(40):
        answer = rig.get(sandbox, f"{path}?since={since}&limit_bytes=10").json()
        got += output_of(answer)
        if not answer["events"]:
            break
        assert answer["returned_bytes"] <= 10
        since = answer["next_cursor"]
    assert got == b"".join(b"out%derr%d" % (i, i) for i in range(10))


def test_output_modes(rig, printed):
    sandbox, path, _ = printed
    assert output_of(rig.get(sandbox, f"{path}?mode=tail&limit_bytes=6").json()) == b"t9err9"
    answer = rig.get(sandbox, f"{path}?mode=head_tail&limit_bytes=10").json()
    assert output_of(answer) == b"out" + b"ut9err9" and answer["omitted_bytes"] == 70
    assert output_of(rig.get(sandbox, f"{path}?mode=head_tail&head_bytes=4&tail_bytes=4").json()) == b"out0err9"
    assert output_of(rig.get(sandbox, f"{path}?mode=head_tail").json()) == b"".join(b"out%derr%d" % (i, i) for i in range(10))


def test_output_of_a_running_process(rig):
    sandbox = rig.sandbox(program=lambda proc: proc.emit("so far"))
    stream = rig.process(sandbox).start("x")
    stream.wait_for("stdout")
    answer = rig.get(sandbox, f"/process/{stream.pid}/output").json()
    assert (answer["status"], answer["exit_code"], answer["finished_at"]) == ("running", None, None)
    assert output_of(answer) == b"so far" and answer["next_cursor"] == 4
    assert rig.get(sandbox, f"/process/{stream.pid}/output?since=4").json()["next_cursor"] == 4


def test_bad_queries(rig, printed):
    sandbox, path, _ = printed
    for query, field in (("since=x", "since"), ("since=-1", "since"), ("limit_bytes=1.5", "limit_bytes"), ("mode=all", "mode"),
                         ("tail_bytes=99999999999999999999", "tail_bytes")):
        answer = rig.get(sandbox, f"{path}?{query}")
        assert answer.status_code == 400 and answer.json()["details"] == {"field": field}, answer.text
    assert rig.get(sandbox, f"{path}?since=%zz").status_code == 400


def test_connect_wants_a_socket(rig, printed):
    sandbox, _, pid = printed
    answer = rig.get(sandbox, f"/process/{pid}/connect")
    assert answer.status_code == 426


# ---- what is kept ----

def test_a_sandbox_keeps_a_bounded_amount():
    """The oldest output of finished processes goes first, and its loss is said."""
    with Rig(retention_bytes=1 << 20, sandbox_retention_bytes=2 << 20) as rig:
        def program(proc):
            for _ in range(15):
                proc.emit(b"x" * 65536)
            proc.end(0)
        sandbox = rig.sandbox(program=program)
        pids = []
        for _ in range(6):
            stream = rig.process(sandbox).start("x")
            assert stream.finish() == 0
            pids.append(stream.pid)
        redis = rig.redis.client()
        wait.until(lambda: not redis.exists(f"frames:{{{sandbox['id']}}}:{pids[0]}"), 5)
        assert redis.exists(f"frames:{{{sandbox['id']}}}:{pids[-1]}")
        answer = rig.get(sandbox, f"/process/{pids[0]}/output").json()
        assert answer["status"] == "succeeded" and answer["events"] == [] and answer["truncated_before_cursor"] is True
        assert answer["total_bytes"] == 15 * 65536 and answer["retained_bytes"] == 0
        late = rig.process(sandbox).connect(pids[0], 0)
        assert late.finish() == 0 and late.frames[0]["truncated"] is True


def test_metrics_and_health(rig):
    import requests
    sandbox = rig.sandbox(program=ends_with(0))
    rig.process(sandbox).start("x").finish()
    health = rig.health()
    assert health["status"] == "ok" and health["redis"] == "up" and health["gate"] == "up" and health["routes"] >= 1
    assert rig.metric("bivouac_gateway_frames_stored_total") >= 3
    assert rig.metric("bivouac_gateway_redis_up") == 1
    text = requests.get(f"http://{rig.conf['admin_listen']}/metrics", timeout=5).text
    for name in ("process_start_seconds", "store_append_seconds", "request_seconds", "routes", "agent_links"):
        assert f"# TYPE bivouac_gateway_{name}" in text
    # the public side shows neither
    assert rig.get(sandbox, "/../health").status_code == 404
