# SPDX-License-Identifier: Apache-2.0
"""agent_link - bivouac-agent as an ordinary program on loopback, and a client of its link (common/wire/agent_link.h)."""
import base64
import json
import os
import signal
import socket
import struct
import subprocess
import time
from collections import defaultdict

import requests

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("BIVOUAC_BUILD_DIR", os.path.join(ROOT, "build", "asan-ubsan"))
PROGRAM = os.path.join(BUILD, "bin", "bivouac-agent")
STRANGER = "nobody"  # a user without rights that every Debian has

START, STDIN, CLOSE_STDIN, SIGNAL, RESIZE, ACK, RESEND, PING = range(1, 9)
RESULT, FRAME, SYNCED, PONG, LOST = range(64, 69)
STARTED, STDOUT, STDERR, PTY, EXIT = range(1, 6)
KINDS = {STARTED: "started", STDOUT: "stdout", STDERR: "stderr", PTY: "pty", EXIT: "exit"}


class Agent:
    """Runs the agent with --foreground. Root: it starts processes and file helpers as other users."""

    def __init__(self, program, folder, workspace=None):
        self.token = os.urandom(32).hex()
        self.folder = str(folder)
        token_file = os.path.join(self.folder, "token")
        with open(os.open(token_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(self.token)
        self.log = open(os.path.join(self.folder, "agent.log"), "ab")
        command = [program, "--foreground", "--listen", "127.0.0.1:0", "--token-file", token_file]
        if workspace:
            command += ["--workspace", str(workspace)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log)
        line = self.process.stdout.readline().decode()
        if not line:
            raise AssertionError("the agent did not start: " + self.log_text())
        self.port = int(line.split()[-1])
        self.session = requests.Session()
        self.session.trust_env = False

    def log_text(self):
        with open(os.path.join(self.folder, "agent.log"), errors="replace") as file:
            return file.read()

    def request(self, method, path, expect=None, headers=None, token=None, **kwargs):
        headers = {"Authorization": f"Bearer {token or self.token}", **(headers or {})}
        url = f"http://127.0.0.1:{self.port}{path}"
        answer = self.session.request(method, url, headers=headers, timeout=kwargs.pop("timeout", 30), **kwargs)
        if expect is not None:
            assert answer.status_code == expect, f"{method} {path}: {answer.status_code} {answer.text[:2000]}"
        return answer

    def link(self):
        return Link(self.port, self.token)

    def rss_kib(self):
        with open(f"/proc/{self.process.pid}/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))

    def stop(self):
        """Ends it; the exit status must be 0 (with sanitizers: nothing leaked)."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError("the agent did not end: " + self.log_text()[-4000:]) from None
        finally:
            self.log.close()
            self.process.stdout.close()
            self.session.close()
        assert status == 0, f"the agent ended with {status}: " + self.log_text()[-8000:]


def run_agent(folder):
    """For fixtures: a running agent with an empty workspace that everybody may write; it must end well."""
    os.chmod(folder, 0o755)
    workspace = os.path.join(str(folder), "workspace")
    os.mkdir(workspace)
    os.chmod(workspace, 0o777)
    agent = Agent(PROGRAM, folder, workspace)
    agent.workspace = workspace
    try:
        yield agent
    finally:
        agent.stop()
    assert "ERROR: " not in agent.log_text() and "runtime error" not in agent.log_text(), agent.log_text()[-8000:]


class Closed(Exception):
    """The agent has closed the link."""


class Link:
    """One link. Messages are read when somebody waits for them; frames are kept for each process in their order."""

    def __init__(self, port, token, ack=True, timeout_s=20):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.timeout_s = timeout_s
        self.ack = ack
        self.buffer = b""
        self.next_req = 1
        self.results = {}
        self.frames = defaultdict(list)  # pid -> [(cursor, kind, data)]
        self.lost = []
        self.pongs = []
        self.synced = False
        head = f"GET /agent/v1/link HTTP/1.1\r\nHost: agent\r\nAuthorization: Bearer {token}\r\n"
        head += "Connection: Upgrade\r\nUpgrade: bivouac-link/1\r\n\r\n"
        self.socket.sendall(head.encode())
        while b"\r\n\r\n" not in self.buffer:
            got = self.socket.recv(65536)
            if not got:
                raise Closed(self.buffer.decode(errors="replace"))
            self.buffer += got
        answer, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        if not answer.startswith(b"HTTP/1.1 101 "):
            raise Closed(answer.decode(errors="replace"))

    def close(self):
        self.socket.close()

    # ---- out ----

    def send_raw(self, data):
        self.socket.sendall(data)

    def send(self, kind, payload=b""):
        self.send_raw(struct.pack("<IB", len(payload) + 1, kind) + payload)

    def request(self, kind, payload):
        req = self.next_req
        self.next_req += 1
        self.send(kind, struct.pack("<I", req) + payload)
        return req

    @staticmethod
    def pid_bytes(pid):
        return bytes([len(pid)]) + pid.encode()

    def start_nowait(self, cmd, *args, **fields):
        body = {"cmd": cmd, "args": list(args), **fields}
        return self.request(START, json.dumps(body).encode())

    def start(self, cmd, *args, **fields):
        """The pid; the request must succeed."""
        result = self.result(self.start_nowait(cmd, *args, **fields))
        assert "error" not in result, result
        return result["pid"]

    def stdin(self, pid, data):
        return self.request(STDIN, self.pid_bytes(pid) + data)

    def close_stdin(self, pid):
        return self.request(CLOSE_STDIN, self.pid_bytes(pid))

    def signal(self, pid, number, group=True):
        return self.request(SIGNAL, self.pid_bytes(pid) + json.dumps({"signal": number, "group": group}).encode())

    def resize(self, pid, cols, rows):
        return self.request(RESIZE, self.pid_bytes(pid) + struct.pack("<HH", cols, rows))

    def send_ack(self, pid, cursor):
        self.send(ACK, struct.pack("<Q", cursor) + self.pid_bytes(pid))

    def resend(self, pid, since):
        self.send(RESEND, struct.pack("<Q", since) + self.pid_bytes(pid))

    def ping(self, number):
        self.send(PING, struct.pack("<I", number))

    # ---- in ----

    def read_message(self, timeout_s=None):
        """Reads and files one message; its type. Raises TimeoutError or Closed."""
        self.socket.settimeout(self.timeout_s if timeout_s is None else max(timeout_s, 0.001))
        while True:
            if len(self.buffer) >= 4:
                size = struct.unpack_from("<I", self.buffer)[0]
                if len(self.buffer) >= 4 + size:
                    break
            got = self.socket.recv(1 << 20)
            if not got:
                raise Closed("end of the link")
            self.buffer += got
        message, self.buffer = self.buffer[4 : 4 + size], self.buffer[4 + size :]
        self.file_message(message[0], message[1:])
        return message[0]

    def file_message(self, kind, body):
        if kind == RESULT:
            req = struct.unpack_from("<I", body)[0]
            assert req not in self.results, f"request {req} was answered twice"
            self.results[req] = json.loads(body[4:])
        elif kind == FRAME:
            frame_kind, cursor, pid_len = struct.unpack_from("<BQB", body)
            pid = body[10 : 10 + pid_len].decode()
            data = body[10 + pid_len :]
            self.frames[pid].append((cursor, KINDS[frame_kind], data))
            if self.ack:
                self.send_ack(pid, cursor)
        elif kind == SYNCED:
            assert not self.synced
            self.synced = True
        elif kind == PONG:
            self.pongs.append(struct.unpack("<I", body)[0])
        elif kind == LOST:
            first, last = struct.unpack_from("<QQ", body)
            self.lost.append((body[17:].decode(), first, last))
        else:
            raise AssertionError(f"message of type {kind}")

    def until(self, check, timeout_s=None):
        """Reads until check() is true."""
        end = time.monotonic() + (timeout_s or self.timeout_s)
        while True:
            value = check()
            if value:
                return value
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError("nothing of the kind came")
            self.read_message(left)

    def result(self, req, timeout_s=None):
        return self.until(lambda: self.results.get(req), timeout_s)

    def ok(self, req):
        result = self.until(lambda: req in self.results and [self.results[req]])[0]
        assert "error" not in result, result

    def idle(self, seconds):
        """Reads whatever comes within that time."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                self.read_message(left)
            except TimeoutError:
                return

    def exit_of(self, pid):
        frames = self.frames[pid]
        return json.loads(frames[-1][2]) if frames and frames[-1][1] == "exit" else None

    def wait_exit(self, pid, timeout_s=None):
        return self.until(lambda: self.exit_of(pid), timeout_s)

    def output(self, pid, kind="stdout"):
        return b"".join(data for _, k, data in self.frames[pid] if k == kind)

    def run(self, cmd, *args, timeout_s=None, **fields):
        """(stdout, stderr, exit frame) of a whole process; the cursors are checked."""
        pid = self.start(cmd, *args, **fields)
        end = self.wait_exit(pid, timeout_s)
        self.check_cursors(pid)
        return self.output(pid), self.output(pid, "stderr"), end

    def check_cursors(self, pid, first=1):
        cursors = [cursor for cursor, _, _ in self.frames[pid]]
        assert cursors == list(range(first, first + 2 * len(cursors), 2)), cursors[:20]


def init_body(token, generation=1, sandbox="1", env=None):
    """What the host sends to POST /agent/v1/init."""
    return {
        "token": token,
        "generation": generation,
        "sandbox_id": sandbox,
        "hostname": "sandbox-1",
        "machine_id": os.urandom(16).hex(),
        "entropy_b64": base64.b64encode(os.urandom(64)).decode(),
        "time_ns": time.time_ns(),
        "env": env or {},
    }
