# SPDX-License-Identifier: Apache-2.0
"""Files through the gateway and the agent."""
import hashlib
import os
import threading
import time

import pytest

from support import wait
from support.raw_http import RawHttp


def test_write_read_stat(shared_sandbox):
    shared_sandbox.write("/workspace/a/b/hello.txt", b"hello\n")
    assert shared_sandbox.read("/workspace/a/b/hello.txt") == b"hello\n"
    stat = shared_sandbox.stat("/workspace/a/b/hello.txt")["file"]
    assert stat["type"] == "file" and stat["size"] == stat["bytes"] == 6 and stat["name"] == "hello.txt"
    assert stat["owner"] == "user" and stat["uid"] == 1000 and stat["path"] == "/workspace/a/b/hello.txt"
    assert "symlink_target" not in stat


def test_relative_paths_start_in_the_workspace(shared_sandbox):
    shared_sandbox.write("relative.txt", b"x")
    assert shared_sandbox.sh("cat /workspace/relative.txt") == "x"


@pytest.mark.parametrize("mode", ["0600", "755"])
def test_mode(shared_sandbox, mode):
    shared_sandbox.write("/workspace/mode", b"x", mode=mode)
    assert shared_sandbox.stat("/workspace/mode")["file"]["mode"] == int(mode, 8)


def test_hz25_empty_chunked_and_expect(shared_sandbox, cluster):
    shared_sandbox.write("/workspace/empty", b"")
    assert shared_sandbox.read("/workspace/empty") == b""
    shared_sandbox.write("/workspace/chunked", (piece for piece in [b"one", b"two", b""[:0] or b"three"]))
    assert shared_sandbox.read("/workspace/chunked") == b"onetwothree"
    host = shared_sandbox.url.split("//")[1]
    with RawHttp(cluster.gateway.address) as raw:
        raw.send(f"PUT /runtime/v1/files?path=/workspace/expected HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {shared_sandbox.token}\r\n"
                 "Content-Length: 4\r\nExpect: 100-continue\r\n\r\n".encode())
        assert raw.answer().status == 100
        raw.send(b"body")
        assert raw.answer().status == 200
    assert shared_sandbox.read("/workspace/expected") == b"body"


def test_hz25_head_and_range(shared_sandbox):
    shared_sandbox.write("/workspace/range", bytes(range(100)))
    head = shared_sandbox.data.request("HEAD", "/files?path=/workspace/range", 200)
    assert head.headers["X-File-Size"] == "100" and head.headers["X-File-IsDir"] in ("false", "0") and head.content == b""
    part = shared_sandbox.data.request("GET", "/files?path=/workspace/range", 206, headers={"Range": "bytes=10-19"})
    assert part.content == bytes(range(10, 20)) and part.headers["Content-Range"] == "bytes 10-19/100"
    end = shared_sandbox.data.request("GET", "/files?path=/workspace/range", 206, headers={"Range": "bytes=-5"})
    assert end.content == bytes(range(95, 100))
    shared_sandbox.data.request("GET", "/files?path=/workspace/range", 416, headers={"Range": "bytes=100-"})


def test_hz22_a_reader_never_sees_half_a_file(shared_sandbox):
    """Two writers of one path in turn, readers meanwhile: whole files of one writer only."""
    size = 300_000
    path = "/workspace/atomic"
    shared_sandbox.write(path, b"a" * size)
    stop = threading.Event()
    broken = []

    def read():
        while not stop.is_set():
            data = shared_sandbox_reader.read(path)
            if len(data) != size or len(set(data)) != 1:
                broken.append((len(data), set(data)))

    from support.client import Sandbox
    shared_sandbox_reader = Sandbox(shared_sandbox.api, shared_sandbox.sandbox, shared_sandbox.session)
    reader = threading.Thread(target=read)
    reader.start()
    for i in range(15):
        shared_sandbox.write(path, bytes([ord("a") + i % 26]) * size)
    stop.set()
    reader.join()
    assert not broken, broken[:3]


def test_hz22_large_files_with_flat_memory(sandbox, cluster):
    """256 MiB each way; the daemons hold a window of it, never the file."""
    size = 256 << 20
    block = os.urandom(1 << 20)
    before = cluster.gateway.rss()
    peak = [0]
    stop = threading.Event()

    def watch():
        while not stop.is_set():
            peak[0] = max(peak[0], cluster.gateway.rss())
            time.sleep(0.05)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        sandbox.data.request("PUT", "/files?path=/workspace/large", 200, data=(block for _ in range(size >> 20)), timeout=300)
        digest = hashlib.sha256()
        with sandbox.data.request("GET", "/files?path=/workspace/large", 200, stream=True, timeout=300) as answer:
            for piece in answer.iter_content(1 << 18):
                digest.update(piece)
    finally:
        stop.set()
        watcher.join()
    wanted = hashlib.sha256()
    for _ in range(size >> 20):
        wanted.update(block)
    assert digest.hexdigest() == wanted.hexdigest()
    assert peak[0] - before < 64 << 20, f"gateway grew by {(peak[0] - before) >> 20} MiB"


def test_an_upload_that_breaks_off_leaves_nothing(shared_sandbox, cluster):
    host = shared_sandbox.url.split("//")[1]
    with RawHttp(cluster.gateway.address) as raw:
        raw.send(f"PUT /runtime/v1/files?path=/workspace/broken/off HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {shared_sandbox.token}\r\n"
                 "Content-Length: 1000\r\n\r\nonly this".encode())
        time.sleep(0.3)
    wait.until(lambda: shared_sandbox.sh("ls -A /workspace/broken 2>/dev/null || true") == "", 10, what="no temporary file is left")
    shared_sandbox.read("/workspace/broken/off", expect=404)


@pytest.mark.parametrize("path, status, code", [
    ("/no/such", 404, "file_not_found"), ("/etc/passwd/x", 404, "file_not_found"), ("/workspace", 422, "is_a_directory"),
    ("/root/secret", 403, "permission_denied"), ("/workspace/" + "n" * 5000, 400, None), ("/etc/shadow", 403, "permission_denied"),
])
def test_hz24_reads_that_fail_say_why(shared_sandbox, path, status, code):
    answer = shared_sandbox.data.request("GET", "/files", params={"path": path})
    assert answer.status_code == status or (code is None and answer.status_code in (400, 404, 422)), answer.text
    if code:
        assert answer.json()["error"] == code


def test_hz24_odd_names(shared_sandbox):
    for name in ("with space", "ünïcode", "quote'\"", "semi;colon", "percent%41", "plus+", "a\nb", "-rf"):
        path = "/workspace/odd/" + name
        shared_sandbox.write(path, name.encode())
        assert shared_sandbox.read(path) == name.encode()
    listed = shared_sandbox.data.get("/directories?path=/workspace/odd").json()["entries"]
    assert {e["name"] for e in listed} == {"with space", "ünïcode", "quote'\"", "semi;colon", "percent%41", "plus+", "a\nb", "-rf"}
    answer = shared_sandbox.data.request("GET", "/files?path=/workspace/a%00b")
    assert answer.status_code == 400
    shared_sandbox.sh("touch $'/workspace/odd/\\xff\\xfe'")
    assert shared_sandbox.data.get("/directories?path=/workspace/odd").json()["entries"], "a name that is not UTF-8 does not break the list"


def test_hz24_files_act_with_the_rights_of_the_user(shared_sandbox):
    answer = shared_sandbox.data.request("PUT", "/files?path=/etc/evil", data=b"x")
    assert answer.status_code == 403 and answer.json()["error"] == "permission_denied"
    shared_sandbox.write("/etc/good", b"x", user="root")
    assert shared_sandbox.stat("/etc/good")["file"]["owner"] == "root"
    shared_sandbox.sh("ln -sf /etc/shadow /workspace/link")
    assert shared_sandbox.data.request("GET", "/files?path=/workspace/link").status_code == 403
    assert shared_sandbox.stat("/workspace/link")["file"]["symlink_target"] == "/etc/shadow"


def test_directories_move_delete(shared_sandbox):
    data = shared_sandbox.data
    data.post("/directories?path=/workspace/d/e/f", expect=200)
    data.post("/directories?path=/workspace/d/e/f", expect=200)
    shared_sandbox.write("/workspace/d/e/f/one", b"1")
    entries = data.get("/directories?path=/workspace/d&depth=3").json()["entries"]
    assert [e["path"] for e in entries] == sorted(e["path"] for e in entries)
    data.post("/files/move", {"from_path": "/workspace/d/e/f/one", "to_path": "/workspace/d/two"}, expect=200)
    assert shared_sandbox.read("/workspace/d/two") == b"1"
    answer = data.request("DELETE", "/directories?path=/workspace/d")
    assert answer.status_code == 409 and answer.json()["error"] == "directory_not_empty"
    data.request("DELETE", "/directories?path=/workspace/d&recursive=true", (200, 204))
    data.request("DELETE", "/directories?path=/workspace/d&recursive=true", 404)
