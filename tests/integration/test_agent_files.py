# SPDX-License-Identifier: Apache-2.0
"""The agent's file routes: shapes, rights, atomicity, odd names and bodies."""
import base64
import os
import socket
import stat
import tempfile
import threading
import time
from urllib.parse import quote_from_bytes

import pytest

from support.agent_link import STRANGER, run_agent

FILES = "/runtime/v1/files"
DIRS = "/runtime/v1/directories"


@pytest.fixture(scope="module")
def agent():
    with tempfile.TemporaryDirectory(prefix="bivouac-agent-") as folder:
        yield from run_agent(folder)


@pytest.fixture
def ws(agent, request):
    """A folder of the test's own, by its name in the workspace."""
    name = request.node.name.replace("[", "-").replace("]", "").replace("/", "-")[:60]
    os.mkdir(os.path.join(agent.workspace, name))
    os.chmod(os.path.join(agent.workspace, name), 0o777)
    return os.path.join(agent.workspace, name)


def put(agent, path, data=b"x", expect=200, user="root", **query):
    return agent.request("PUT", FILES, expect, params={"path": path, "user": user, **query}, data=data)


def get(agent, path, expect=200, user="root", headers=None, **query):
    return agent.request("GET", FILES, expect, params={"path": path, "user": user, **query}, headers=headers)


def error(answer, status, code):
    assert (answer.status_code, answer.json()["error"]) == (status, code), answer.text
    assert answer.json()["request_id"] == answer.headers["X-Request-Id"]


# ---- write and read ----

def test_object(agent, ws):
    file = put(agent, f"{ws}/a/b.txt", b"hello").json()["file"]
    st = os.lstat(f"{ws}/a/b.txt")
    assert file["path"] == f"{ws}/a/b.txt" and file["name"] == "b.txt" and file["type"] == "file"
    assert file["bytes"] == file["size"] == 5 and file["mode"] == 0o644 and file["permissions"] == "rw-r--r--"
    assert (file["owner"], file["group"], file["uid"], file["gid"]) == ("root", "root", 0, 0)
    assert file["mtime"] == int(st.st_mtime) and file["modified_at"] == file["modified_time"]
    assert file["modified_at"].endswith("Z") and "symlink_target" not in file
    assert agent.request("GET", FILES + "/stat", 200, params={"path": f"{ws}/a/b.txt", "user": "root"}).json()["file"] == file
    assert get(agent, f"{ws}/a/b.txt").content == b"hello"


def test_relative_paths_begin_at_the_workspace(agent, ws):
    file = put(agent, os.path.basename(ws) + "/./x//y", b"1").json()["file"]
    assert file["path"] == f"{ws}/x/y"
    assert get(agent, f"{ws}/x/y").content == b"1"


@pytest.mark.parametrize("method", ["PUT", "POST"])
@pytest.mark.parametrize("data", [b"", b"x" * 300000, None], ids=["empty", "long", "chunked"])
def test_hz25_bodies(agent, ws, method, data):
    want = data
    if data is None:
        want = b"a" * 70000 + b"bccccc"
        data = iter([b"a" * 70000, b"b", b"c" * 5])
    agent.request(method, FILES, 200, params={"path": f"{ws}/f", "user": "root"}, data=data)
    assert get(agent, f"{ws}/f").content == want


def test_hz25_expect_continue(agent, ws):
    """A body that would be refused is not asked for."""
    def ask(path):
        s = socket.create_connection(("127.0.0.1", agent.port), timeout=10)
        s.sendall(
            f"PUT {FILES}?path={path}&user=root HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {agent.token}\r\n"
            "Content-Length: 3\r\nExpect: 100-continue\r\n\r\n".encode()
        )
        return s, s.recv(4096)

    s, got = ask(f"{ws}/f")
    assert got.startswith(b"HTTP/1.1 100 ")
    s.sendall(b"abc")
    assert b"200 OK" in s.recv(4096)
    s.close()
    s, got = ask(ws)
    assert got.startswith(b"HTTP/1.1 422 ")
    s.close()
    assert get(agent, f"{ws}/f").content == b"abc"


def test_modes(agent, ws):
    assert put(agent, f"{ws}/f", mode="755").json()["file"]["mode"] == 0o755
    assert put(agent, f"{ws}/f").json()["file"]["mode"] == 0o755  # a file that is replaced keeps it
    assert put(agent, f"{ws}/f", mode="0600").json()["file"]["permissions"] == "rw-------"
    for bad in ("9", "-1", "17777", "", "0x1", "0000755"):
        error(put(agent, f"{ws}/f", expect=None, mode=bad), 422, "invalid_request")


def test_rights_of_the_user(agent, ws):
    file = put(agent, f"{ws}/mine", user=STRANGER).json()["file"]
    assert file["owner"] == STRANGER and file["uid"] == 65534
    os.mkdir(f"{ws}/closed", 0o700)
    for answer in (
        put(agent, f"{ws}/closed/x", expect=None, user=STRANGER),
        get(agent, f"{ws}/closed/x", expect=None, user=STRANGER),
        agent.request("GET", DIRS, params={"path": f"{ws}/closed", "user": STRANGER}),
        agent.request("DELETE", FILES, params={"path": f"{ws}/closed/x", "user": STRANGER}),
        agent.request("GET", FILES + "/exists", params={"path": f"{ws}/closed/x", "user": STRANGER}),
        agent.request("POST", FILES + "/move", params={"path": f"{ws}/mine", "user": STRANGER}, json={"to_path": f"{ws}/closed/x"}),
    ):
        error(answer, 403, "permission_denied")
    # the folder would allow it, the file does not: as in a shell
    put(agent, f"{ws}/roots", b"keep")
    error(put(agent, f"{ws}/roots", b"no", expect=None, user=STRANGER), 403, "permission_denied")
    assert get(agent, f"{ws}/roots").content == b"keep"
    # root replaces, the owner stays
    assert put(agent, f"{ws}/mine", b"by root").json()["file"]["owner"] == STRANGER
    error(put(agent, f"{ws}/x", expect=None, user="no-such-user"), 422, "user_not_found")


def test_hz24_links(agent, ws):
    os.symlink("/root/secret", f"{ws}/out")
    os.symlink("target", f"{ws}/link")
    put(agent, f"{ws}/link", b"through")
    assert os.path.islink(f"{ws}/link") and open(f"{ws}/target").read() == "through"
    file = agent.request("GET", FILES + "/stat", 200, params={"path": f"{ws}/link", "user": "root"}).json()["file"]
    assert file["type"] == "symlink" and file["symlink_target"] == "target"
    assert get(agent, f"{ws}/link").content == b"through"
    error(get(agent, f"{ws}/out", expect=None, user=STRANGER), 403, "permission_denied")
    os.symlink("loop", f"{ws}/loop")
    error(get(agent, f"{ws}/loop", expect=None), 422, "too_many_links")
    error(put(agent, f"{ws}/loop", expect=None), 422, "too_many_links")
    agent.request("DELETE", FILES, 204, params={"path": f"{ws}/link", "user": "root"})
    assert os.path.exists(f"{ws}/target")  # the link went, not the file


@pytest.mark.parametrize("index, name", enumerate([b"with space", b"\xff\xfe\x80", b"new\nline", b"-dash", b"a" * 255, "ä€🐧".encode(), b"%2F", b"+&=?#"]), ids=str)
def test_hz24_names(agent, ws, index, name):
    path = quote_from_bytes(ws.encode() + b"/" + name, safe="")
    file = agent.request("PUT", f"{FILES}?path={path}&user=root", 200, data=b"n").json()["file"]
    assert os.listdir(ws.encode()) == [name]
    assert agent.request("GET", f"{FILES}?path={path}&user=root", 200).content == b"n"
    entry = agent.request("GET", DIRS, 200, params={"path": ws, "user": "root"}).json()["entries"][0]
    assert entry == file
    try:
        assert file["name"] == name.decode() and "path_base64" not in file
    except UnicodeDecodeError:
        assert base64.b64decode(file["path_base64"]) == ws.encode() + b"/" + name  # nothing is lost


def test_hz24_paths_that_cannot_be(agent, ws):
    for query in ("path=%00", "path=a%00b", "path=%zz", "path=a&user=%"):
        s = socket.create_connection(("127.0.0.1", agent.port), timeout=10)
        s.sendall(f"GET {FILES}?{query} HTTP/1.0\r\nAuthorization: Bearer {agent.token}\r\n\r\n".encode())
        assert s.makefile("rb").read().startswith(b"HTTP/1.1 400 ")
        s.close()
    for query in ("", "?path="):
        error(agent.request("GET", FILES + query), 422, "invalid_request")
    error(get(agent, ws + "/" + "a" * 256, expect=None), 422, "invalid_path")
    error(get(agent, ws + "/a" * 3000, expect=None), 422, "invalid_path")
    error(put(agent, f"{ws}/dir/", expect=None), 422, "is_a_directory")
    error(get(agent, f"{ws}/no/such", expect=None), 404, "file_not_found")
    put(agent, f"{ws}/file")
    error(get(agent, f"{ws}/file/below", expect=None), 404, "file_not_found")
    error(put(agent, f"{ws}/file/below", expect=None), 404, "file_not_found")


def test_hz24_dotdot_is_what_a_shell_would_get(agent, ws):
    os.makedirs(f"{ws}/real/deep")
    os.symlink("real/deep", f"{ws}/short")
    put(agent, f"{ws}/real/f", b"right")
    assert get(agent, f"{ws}/short/../f").content == b"right"
    file = agent.request("GET", FILES + "/stat", 200, params={"path": f"{ws}/short/../f", "user": "root"}).json()["file"]
    assert file["path"] == f"{ws}/real/f"


def test_hz25_head_and_range(agent, ws):
    put(agent, f"{ws}/f", bytes(range(100)))
    head = agent.request("HEAD", FILES, 200, params={"path": f"{ws}/f", "user": "root"})
    assert head.headers["Content-Length"] == "100" and head.headers["X-File-Size"] == "100" and not head.content
    assert head.headers["X-File-Mode"] == "0644" and head.headers["X-File-IsDir"] == "false"
    assert agent.request("HEAD", FILES, 200, params={"path": ws, "user": "root"}).headers["X-File-IsDir"] == "true"
    assert agent.request("HEAD", FILES, params={"path": f"{ws}/no", "user": "root"}).status_code == 404
    part = get(agent, f"{ws}/f", 206, headers={"Range": "bytes=10-19"})
    assert part.content == bytes(range(10, 20)) and part.headers["Content-Range"] == "bytes 10-19/100"
    assert get(agent, f"{ws}/f", 206, headers={"Range": "bytes=-5"}).content == bytes(range(95, 100))
    none = get(agent, f"{ws}/f", 416, headers={"Range": "bytes=100-"})
    assert none.headers["Content-Range"] == "bytes */100"
    assert get(agent, f"{ws}/f", 200, headers={"Range": "bytes=1-2,5-6"}).content == bytes(range(100))


def test_lines_and_bytes(agent, ws):
    text = b"".join(b"line %d\n" % i for i in range(1, 50001)) + b"no end"
    put(agent, f"{ws}/f", text)
    lines = text.splitlines(keepends=True)
    assert get(agent, f"{ws}/f", offset=1, limit=2).content == b"line 1\nline 2\n"
    answer = get(agent, f"{ws}/f", offset=30000, limit=10000)
    assert answer.content == b"".join(lines[29999:39999])
    assert answer.headers["X-File-Size"] == str(len(text)) and "Content-Length" not in answer.headers
    assert get(agent, f"{ws}/f", offset=50001).content == b"no end"
    assert get(agent, f"{ws}/f", offset=50002).content == b""
    assert get(agent, f"{ws}/f", max_bytes=3).content == b"lin"
    assert get(agent, f"{ws}/f", offset=2, limit=5, max_bytes=10).content == b"line 2\nlin"
    assert get(agent, f"{ws}/f", limit=0).content == b""
    error(get(agent, f"{ws}/f", expect=None, offset="x"), 422, "invalid_request")


def test_files_that_are_none(agent, ws):
    os.mkfifo(f"{ws}/fifo")
    error(get(agent, f"{ws}/fifo", expect=None), 422, "not_a_file")
    error(put(agent, f"{ws}/fifo", expect=None), 422, "not_a_file")
    error(get(agent, "/dev/zero", expect=None), 422, "not_a_file")
    error(get(agent, ws, expect=None), 422, "is_a_directory")
    error(put(agent, ws, expect=None), 422, "is_a_directory")
    assert get(agent, "/proc/version").content == open("/proc/version", "rb").read()
    assert get(agent, "/sys/kernel/mm/transparent_hugepage/enabled").content  # says 4096 and is shorter


def test_gzip_is_refused_not_stored(agent, ws):
    error(put(agent, f"{ws}/f", expect=None, gzip="true"), 422, "not_supported")
    answer = agent.request("PUT", FILES, params={"path": f"{ws}/f", "user": "root"}, data=b"x", headers={"Content-Encoding": "gzip"})
    error(answer, 422, "not_supported")
    assert not os.path.exists(f"{ws}/f")


# ---- atomic ----

def test_hz22_a_broken_upload_leaves_nothing(agent, ws):
    put(agent, f"{ws}/f", b"old")
    s = socket.create_connection(("127.0.0.1", agent.port), timeout=10)
    s.sendall(
        f"PUT {FILES}?path={ws}/f&user=root HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {agent.token}\r\nContent-Length: 1000000\r\n\r\n".encode()
        + b"n" * 500000
    )
    time.sleep(0.3)
    assert os.listdir(ws) == ["f"] and get(agent, f"{ws}/f").content == b"old"
    s.close()
    time.sleep(0.3)
    assert os.listdir(ws) == ["f"] and get(agent, f"{ws}/f").content == b"old"


def test_hz22_writers_never_mix_and_readers_see_no_half(agent, ws):
    sizes = [1, 300000, 70000, 500000]
    stop = threading.Event()
    wrong = []

    def write(i):
        session = agent.__class__.request
        while not stop.is_set():
            session(agent, "PUT", FILES, 200, params={"path": f"{ws}/f", "user": "root"}, data=bytes([65 + i]) * sizes[i])

    put(agent, f"{ws}/f", b"A")
    writers = [threading.Thread(target=write, args=(i,)) for i in range(4)]
    for w in writers:
        w.start()
    end = time.monotonic() + 3
    seen = set()
    while time.monotonic() < end:
        data = get(agent, f"{ws}/f").content
        seen.add(data[:1])
        if len(set(data)) != 1 or len(data) != sizes[data[0] - 65]:
            wrong.append((len(data), set(data)))
    stop.set()
    for w in writers:
        w.join()
    assert not wrong and len(seen) > 1
    assert os.listdir(ws) == ["f"]


def test_hz22_flat_memory(agent, ws):
    def body():
        for i in range(512):
            yield os.urandom(1024) * 1024  # 512 MiB

    before = agent.rss_kib()
    peak = [before]
    done = threading.Event()

    def watch():
        while not done.is_set():
            peak[0] = max(peak[0], agent.rss_kib())
            time.sleep(0.05)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        put(agent, f"{ws}/big", body())
        answer = agent.request("GET", FILES, 200, params={"path": f"{ws}/big", "user": "root"}, stream=True)
        total = sum(len(piece) for piece in answer.iter_content(1 << 20))
    finally:
        done.set()
        watcher.join()
    assert total == 512 << 20
    assert peak[0] - before < 65536  # with a sanitizer's quarantine


def test_hz18_full_disk_is_507(agent, ws):
    """A tmpfs of 2 MiB stands for a full disk."""
    os.mkdir(f"{ws}/small")
    assert os.system(f"mount -t tmpfs -o size=2m none '{ws}/small'") == 0
    try:
        error(put(agent, f"{ws}/small/f", b"x" * (4 << 20), expect=None), 507, "not_enough_space")
        error(put(agent, f"{ws}/small/f", iter([b"x" * (1 << 20)] * 4), expect=None), 507, "not_enough_space")
        assert os.listdir(f"{ws}/small") == []
        put(agent, f"{ws}/small/g", b"fits")
    finally:
        assert os.system(f"umount '{ws}/small'") == 0


# ---- move and delete ----

@pytest.mark.parametrize("spelling", ["from_path", "query", "source"])
def test_move(agent, ws, spelling):
    put(agent, f"{ws}/a", b"1")
    put(agent, f"{ws}/b", b"2")
    params, body = {"user": "root"}, {"from_path": f"{ws}/a", "to_path": f"{ws}/b"}
    if spelling == "query":
        params["path"] = body.pop("from_path")
    elif spelling == "source":
        body = {"source": f"{ws}/a", "destination": f"{ws}/b"}
    file = agent.request("POST", FILES + "/move", 200, params=params, json=body).json()["file"]
    assert file["path"] == f"{ws}/b" and os.listdir(ws) == ["b"] and get(agent, f"{ws}/b").content == b"1"


def test_move_rules(agent, ws):
    def move(a, b):
        return agent.request("POST", FILES + "/move", params={"user": "root"}, json={"from_path": f"{ws}/{a}", "to_path": f"{ws}/{b}"})

    os.makedirs(f"{ws}/full/x")
    os.makedirs(f"{ws}/empty")
    os.makedirs(f"{ws}/dir/sub")
    put(agent, f"{ws}/file")
    error(move("dir", "full"), 409, "directory_not_empty")
    error(move("dir", "file"), 409, "exists")
    error(move("file", "empty"), 422, "is_a_directory")
    error(move("dir", "dir/sub/deeper"), 422, "invalid_path")
    error(move("none", "x"), 404, "file_not_found")
    error(move("file", "none/x"), 404, "file_not_found")
    assert move("dir", "empty").status_code == 200 and os.listdir(f"{ws}/empty") == ["sub"]
    error(agent.request("POST", FILES + "/move", json={}), 422, "invalid_request")
    error(agent.request("POST", FILES + "/move", json={"from_path": "a", "to_path": 5}), 422, "invalid_request")


def test_move_between_file_systems(agent, ws):
    os.makedirs(f"{ws}/t/d")
    put(agent, f"{ws}/t/d/f", b"data", mode="600")
    os.symlink("d/f", f"{ws}/t/l")
    other = tempfile.mkdtemp(dir="/dev/shm")
    try:
        agent.request("POST", FILES + "/move", 200, params={"user": "root"}, json={"from_path": f"{ws}/t", "to_path": f"{other}/t"})
        assert not os.path.exists(f"{ws}/t") and os.listdir(other) == ["t"]
        assert open(f"{other}/t/l").read() == "data" and stat.S_IMODE(os.stat(f"{other}/t/d/f").st_mode) == 0o600
    finally:
        agent.request("DELETE", FILES, 204, params={"path": other, "user": "root", "recursive": "true"})


@pytest.mark.parametrize("route", [FILES, DIRS])
def test_delete(agent, ws, route):
    def delete(path, **query):
        return agent.request("DELETE", route, params={"path": f"{ws}/{path}", "user": "root", **query})

    put(agent, f"{ws}/d/e/f")
    put(agent, f"{ws}/f")
    os.mkdir(f"{ws}/empty")
    os.mkdir(f"{ws}/keep")
    put(agent, f"{ws}/keep/me")
    os.symlink("../keep", f"{ws}/d/link")
    assert delete("f").status_code == 204
    assert delete("empty").status_code == 204
    error(delete("d"), 409, "directory_not_empty")
    error(delete("none"), 404, "file_not_found")
    error(delete("none", recursive="true"), 404, "file_not_found")
    assert delete("d", recursive="true").status_code == 204
    assert sorted(os.listdir(ws)) == ["keep"] and os.listdir(f"{ws}/keep") == ["me"]
    error(delete("keep", recursive="maybe"), 422, "invalid_request")


def test_delete_a_deep_tree(agent, ws):
    """Deeper than descriptors and path lengths go."""
    os.mkdir(f"{ws}/deep")
    here = os.open(f"{ws}/deep", os.O_RDONLY)
    for i in range(3000):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    agent.request("DELETE", DIRS, 204, params={"path": f"{ws}/deep", "user": "root", "recursive": "true"})
    assert os.listdir(ws) == []


def test_the_root_is_not_deleted(agent):
    for path in ("/", "//", "/./"):
        error(agent.request("DELETE", FILES, params={"path": path, "user": STRANGER, "recursive": "true"}), 422, "invalid_path")


# ---- directories ----

def test_make_directories(agent, ws):
    def make(path, **query):
        return agent.request("POST", DIRS, params={"path": f"{ws}/{path}", "user": "root", **query})

    made = make("a/b/c")
    assert made.status_code == 200 and made.json()["file"]["type"] == "dir" and made.json()["file"]["mode"] == 0o755
    assert make("a/b/c").status_code == 200
    error(make("x/y", parents="false"), 404, "file_not_found")
    assert make("x", parents="false", mode="700").json()["file"]["mode"] == 0o700
    put(agent, f"{ws}/f")
    error(make("f"), 409, "exists")


def test_list(agent, ws):
    for name in ("b/2", "b/1", "a.txt", "a/x/y/z"):
        put(agent, f"{ws}/{name}")
    os.symlink("b", f"{ws}/c")

    def names(**query):
        answer = agent.request("GET", DIRS, 200, params={"path": ws, "user": "root", **query}).json()
        assert answer["path"] == ws and answer["truncated"] is False
        paths = [e["path"] for e in answer["entries"]]
        assert paths == sorted(paths)
        return [p[len(ws) + 1 :] for p in paths]

    assert names() == ["a", "a.txt", "b", "c"]
    assert names(depth=2) == ["a", "a.txt", "a/x", "b", "b/1", "b/2", "c"]
    assert names(depth=9)[-1] == "c" and "a/x/y/z" in names(depth=9)
    error(agent.request("GET", DIRS, params={"path": f"{ws}/a.txt", "user": "root"}), 404, "file_not_found")
    error(agent.request("GET", DIRS, params={"path": ws, "user": "root", "depth": "x"}), 422, "invalid_request")


def test_list_is_cut_at_ten_thousand(agent, ws):
    for i in range(12000):
        open(f"{ws}/{i:06}", "w").close()
    answer = agent.request("GET", DIRS, 200, params={"path": ws, "user": "root"}).json()
    assert answer["truncated"] is True
    assert [e["name"] for e in answer["entries"]] == [f"{i:06}" for i in range(10000)]


def test_exists(agent, ws):
    os.symlink("nowhere", f"{ws}/l")
    put(agent, f"{ws}/f")

    def ask(path):
        return agent.request("GET", FILES + "/exists", 200, params={"path": path, "user": "root"}).json()

    assert ask(f"{ws}/f") == {"exists": True, "entry_type": "file"}
    assert ask(ws) == {"exists": True, "entry_type": "directory"}
    assert ask(f"{ws}/l") == {"exists": True, "entry_type": "symlink"}
    assert ask(f"{ws}/no") == {"exists": False, "entry_type": None}
    assert ask(f"{ws}/f/x") == {"exists": False, "entry_type": None}


# ---- helpers ----

def helpers(agent):
    """(pid, uid) of the helper processes."""
    out = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/status") as file:
                fields = dict(line.split(":", 1) for line in file)
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields["Name"].strip() == "bivouac-files" and fields["PPid"].strip() == str(agent.process.pid):
            out.append((int(pid), int(fields["Uid"].split()[0])))
    return out


def test_hz31_helpers_have_the_users_ids_and_nothing_else(agent, ws):
    put(agent, f"{ws}/f", user=STRANGER)
    mine = [pid for pid, uid in helpers(agent) if uid == 65534]
    assert mine
    with open(f"/proc/{mine[0]}/status") as file:
        fields = dict(line.split(":", 1) for line in file)
    assert set(fields["Uid"].split()) == {"65534"} and set(fields["Gid"].split()) == {"65534"}
    assert int(fields["CapEff"], 16) == 0 and int(fields["CapPrm"], 16) == 0
    end = time.monotonic() + 5
    while len(os.listdir(f"/proc/{mine[0]}/fd")) != 4:  # the null device twice, the log, the socket
        assert time.monotonic() < end  # it answers a moment before it has closed the file


def test_a_killed_helper_hurts_one_request_only(agent, ws):
    put(agent, f"{ws}/f", b"1", user=STRANGER)
    for pid, uid in helpers(agent):
        if uid == 65534:
            os.kill(pid, 9)
    end = time.monotonic() + 5
    while any(uid == 65534 for _, uid in helpers(agent)):
        assert time.monotonic() < end
    assert get(agent, f"{ws}/f", user=STRANGER).content == b"1"


def test_many_at_once(agent, ws):
    """More requests than helpers: they wait in line."""
    import requests

    def one(i, out):
        data = bytes([i % 256]) * 100000
        url = f"http://127.0.0.1:{agent.port}{FILES}"
        headers = {"Authorization": f"Bearer {agent.token}"}
        params = {"path": f"{ws}/{i}", "user": "root"}
        out[i] = requests.put(url, params=params, data=data, headers=headers).status_code == 200 and \
            requests.get(url, params=params, headers=headers).content == data

    out = {}
    threads = [threading.Thread(target=one, args=(i, out)) for i in range(150)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert all(out[i] for i in range(150))
