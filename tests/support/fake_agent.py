# SPDX-License-Identifier: Apache-2.0
"""
fake_agent - a scripted agent and a scripted vmhost, for what a real one cannot be made to do: lose frames, lie, stall, speak nonsense.
Both live in threads of the test. What they speak is common/wire/agent_link.h and gate_link.h.
"""
import base64
import json
import os
import socket
import struct
import threading
import time

from support.agent_link import (ACK, CLOSE_STDIN, EXIT, FRAME, LOST, PING, PONG, PTY, RESEND, RESIZE, RESULT, SIGNAL, START, STARTED, STDERR,
                                STDIN, STDOUT, SYNCED)


def message(kind, payload=b""):
    return struct.pack("<IB", len(payload) + 1, kind) + payload


def pid_bytes(pid):
    return bytes([len(pid)]) + pid.encode()


def frame(pid, kind, cursor, data):
    return message(FRAME, struct.pack("<BQ", kind, cursor) + pid_bytes(pid) + data)


class FakeProc:
    """Frames are made by emit() and end(); kept until forgotten."""

    def __init__(self, agent, pid, spec):
        self.agent, self.pid, self.spec = agent, pid, spec
        self.frames = []  # (cursor, kind, data)
        self.next = 1
        self.acked = 0
        self.gone_to = 0  # frames up to here are not kept
        self.exit_code = None
        self.stdin = []
        self.stdin_closed = False
        self.signals = []
        self.sizes = []
        self.hold_stdin = False  # do not answer STDIN

    def put(self, kind, data):
        with self.agent.lock:
            cursor = self.next
            self.frames.append((cursor, kind, data))
            self.next += 2
        self.agent.wake()
        return cursor

    def begin(self):
        started = {"os_pid": 4242, "started_at_us": time.time_ns() // 1000, "cmd": self.spec.get("cmd", "x"),
                   "args": self.spec.get("args", []), "cwd": self.spec.get("cwd") or "/workspace",
                   "user": self.spec.get("user") or "user", "pty": "pty" in self.spec, "stdin": self.spec.get("stdin", False)}
        if self.spec.get("tag"):
            started["tag"] = self.spec["tag"]
        self.put(STARTED, json.dumps(started).encode())

    def emit(self, data, kind=STDOUT):
        return self.put(kind, data if isinstance(data, bytes) else data.encode())

    def end(self, code=0, error=None):
        self.exit_code = code
        self.put(EXIT, json.dumps({"exit_code": code, "error": error, "finished_at_us": time.time_ns() // 1000}).encode())

    def forget_to(self, cursor):
        """As if the time for keeping them had passed."""
        with self.agent.lock:
            self.gone_to = max(self.gone_to, cursor)

    def kept(self, cursor):
        return [f for f in self.frames if f[0] >= cursor and f[0] > self.gone_to]

    def describe(self):
        status = "running" if self.exit_code is None else "succeeded" if self.exit_code == 0 else "failed"
        return {"id": self.pid, "pid": self.pid, "os_pid": 4242, "cmd": self.spec.get("cmd", "x"), "args": self.spec.get("args", []),
                "status": status, "exit_code": self.exit_code}


class FakeLink:
    """One agent link: a place in each process' frames, as the real agent has it."""

    def __init__(self, agent, sock):
        self.agent, self.sock = agent, sock
        self.at = {}  # pid -> next cursor
        self.out_lock = threading.Lock()
        self.alive = True
        self.acks = []
        self.resends = []

    def send(self, data):
        with self.out_lock:
            self.sock.sendall(data)

    def cut(self):
        self.alive = False
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def pump(self):
        """Sends what there is; the agent's lock is not held while sending."""
        while self.alive:
            parts = []
            with self.agent.lock:
                for proc in self.agent.procs.values():
                    at = self.at.setdefault(proc.pid, proc.acked + 2 if proc.acked else 1)
                    if at <= proc.gone_to:
                        parts.append(message(LOST, struct.pack("<QQ", at, proc.gone_to) + pid_bytes(proc.pid)))
                        at = proc.gone_to + 2
                    some = proc.frames[(at - 1) // 2:(at - 1) // 2 + 500] if proc.next > at else []
                    parts += [frame(proc.pid, kind, cursor, data) for cursor, kind, data in some]
                    self.at[proc.pid] = at + 2 * len(some)
            if not parts:
                return
            self.send(b"".join(parts))

    def sender(self):
        try:
            self.pump()
            self.send(message(SYNCED))
            while self.alive:
                with self.agent.changed:
                    self.agent.changed.wait(0.05)
                self.pump()
        except OSError:
            self.alive = False

    def result(self, req, **body):
        self.send(message(RESULT, struct.pack("<I", req) + json.dumps(body).encode()))

    def handle(self, kind, body):
        agent = self.agent
        if kind == ACK:
            cursor = struct.unpack_from("<Q", body)[0]
            pid = body[9:].decode()
            self.acks.append((pid, cursor))
            with agent.lock:
                if pid in agent.procs:
                    agent.procs[pid].acked = max(agent.procs[pid].acked, cursor)
            return
        if kind == RESEND:
            since = struct.unpack_from("<Q", body)[0]
            pid = body[9:].decode()
            self.resends.append((pid, since))
            with agent.lock:
                if pid in agent.procs:
                    self.at[pid] = since + 2 if since % 2 else since + 1
            agent.wake()
            return
        req = struct.unpack_from("<I", body)[0]
        if kind == PING:
            self.send(message(PONG, body))
        elif kind == START:
            agent.on_start(self, req, json.loads(body[4:]))
        else:
            length = body[4]
            proc = agent.procs.get(body[5:5 + length].decode())
            rest = body[5 + length:]
            if proc is None:
                self.result(req, error="process_not_found", message="there is no such process")
            else:
                agent.on_input(self, req, proc, kind, rest)

    def run(self, first):
        threading.Thread(target=self.sender, daemon=True).start()
        buffer = first
        try:
            while self.alive:
                while len(buffer) >= 4 and len(buffer) >= 4 + struct.unpack_from("<I", buffer)[0]:
                    size = struct.unpack_from("<I", buffer)[0]
                    self.handle(buffer[4], buffer[5:4 + size])
                    buffer = buffer[4 + size:]
                got = self.sock.recv(1 << 18)
                if not got:
                    break
                buffer += got
        except OSError:
            pass
        self.cut()


class FakeAgent:
    """
    program(proc) runs in a thread for each START. http(method, path, headers, body) -> (status, body) answers what is not a process route.
    """

    def __init__(self, program=None, token=None):
        self.token = token or os.urandom(32).hex()
        self.program = program or (lambda proc: proc.end(0))
        self.http = None
        self.procs = {}
        self.links = []
        self.files = {}
        self.requests = []
        self.lock = threading.RLock()
        self.changed = threading.Condition()
        self.counter = 0
        self.ignore_starts = False
        self.link_script = None   # called with the socket instead of the protocol
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        self.open = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.listener.close()
        for sock in self.open:
            try:
                sock.close()
            except OSError:
                pass

    def wake(self):
        with self.changed:
            self.changed.notify_all()

    def cut_links(self):
        links, self.links = self.links, []
        for link in links:
            link.cut()

    def proc(self, pid=None):
        return self.procs[pid] if pid else list(self.procs.values())[-1]

    # ---- processes ----

    def add(self, pid, spec):
        proc = FakeProc(self, pid, spec)
        with self.lock:
            self.procs[pid] = proc
        return proc

    def on_start(self, link, req, spec):
        if self.ignore_starts:
            return
        pid = spec.get("id")
        if pid in self.procs:
            link.result(req, error="process_exists", message="this id was used before")
            return
        if spec["cmd"] == "missing":
            link.result(req, error="command_not_found", message="missing: not found")
            return
        if not pid:
            self.counter += 1
            pid = f"proc-{self.counter}"
        proc = self.add(pid, spec)
        link.result(req, pid=pid, os_pid=4242)
        proc.begin()
        threading.Thread(target=self.program, args=(proc,), daemon=True).start()

    def on_input(self, link, req, proc, kind, rest):
        if kind == STDIN:
            if proc.hold_stdin:
                proc.stdin.append((link, req, rest))
                return
            if proc.stdin_closed or proc.exit_code is not None:
                link.result(req, error="stdin_closed", message="stdin is closed")
                return
            proc.stdin.append(rest)
        elif kind == CLOSE_STDIN:
            proc.stdin_closed = True
        elif kind == SIGNAL:
            proc.signals.append(json.loads(rest))
        elif kind == RESIZE:
            proc.sizes.append(struct.unpack("<HH", rest))
        link.result(req)

    # ---- HTTP ----

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.open.append(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        buffer = b""
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                while b"\r\n\r\n" not in buffer:
                    got = sock.recv(1 << 16)
                    if not got:
                        return
                    buffer += got
                head, buffer = buffer.split(b"\r\n\r\n", 1)
                lines = head.decode().split("\r\n")
                method, path, _ = lines[0].split(" ")
                headers = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines[1:])}
                if path == "/agent/v1/link":
                    self._link(sock, headers, buffer)
                    return
                body, buffer = self._body(sock, headers, buffer)
                self.requests.append((method, path, headers))
                self._answer(sock, method, path, headers, body)
        except (OSError, ValueError):
            pass
        finally:
            sock.close()

    def _body(self, sock, headers, buffer):
        def more():
            got = sock.recv(1 << 18)
            if not got:
                raise OSError("cut")
            return got
        if headers.get("transfer-encoding") != "chunked":
            length, parts = int(headers.get("content-length", 0)), [buffer]
            have = len(buffer)
            while have < length:
                parts.append(more())
                have += len(parts[-1])
            whole = b"".join(parts)
            return whole[:length], whole[length:]
        parts = []
        while True:
            while b"\r\n" not in buffer:
                buffer += more()
            line, buffer = buffer.split(b"\r\n", 1)
            size = int(line, 16)
            chunk = [buffer]
            have = len(buffer)
            while have < size + 2:
                chunk.append(more())
                have += len(chunk[-1])
            whole = b"".join(chunk)
            parts.append(whole[:size])
            buffer = whole[size + 2:]
            if size == 0:
                return b"".join(parts), buffer

    def _answer(self, sock, method, path, headers, body):
        status, data = self._route(method, path, headers, body)
        if isinstance(data, bytes) and status == 0:
            sock.sendall(data)  # raw
            return
        if not isinstance(data, bytes):
            data = json.dumps(data).encode()
        sock.sendall(f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)

    def _route(self, method, path, headers, body):
        if headers.get("authorization") != f"Bearer {self.token}":
            return 401, {"error": "unauthorized"}
        route = path.split("?")[0]
        if self.http:
            answer = self.http(method, path, headers, body)
            if answer:
                return answer
        if route == "/runtime/v1/process":
            everything = "all=true" in path
            return 200, {"processes": [p.describe() for p in list(self.procs.values()) if everything or p.exit_code is None]}
        if route.startswith("/runtime/v1/process/"):
            proc = self.procs.get(route.split("/")[4])
            if proc is None:
                return 404, {"error": "process_not_found", "message": "none"}
            return 200, proc.describe()
        if route.startswith("/runtime/v1/files"):
            if method == "PUT":
                self.files[path] = body
                return 200, {"file": {"bytes": len(body)}}
            return (200, self.files[path]) if path in self.files else (404, {"error": "file_not_found", "message": "none"})
        return 404, {"error": "not_found", "message": "none"}

    def _link(self, sock, headers, first):
        if headers.get("authorization") != f"Bearer {self.token}":
            sock.sendall(b"HTTP/1.1 401 X\r\nContent-Length: 0\r\n\r\n")
            return
        sock.sendall(b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: bivouac-link/1\r\n\r\n")
        if self.link_script:
            self.link_script(sock)
            return
        link = FakeLink(self, sock)
        self.links.append(link)
        link.run(first)


class FakeVmhost:
    """gate.sock: tells routes and hands out sockets that are connected to agents' ports."""

    def __init__(self, path):
        self.path = path
        self.routes = {}  # id -> (route message, port)
        self.clients = []
        self.lock = threading.Lock()
        self.listener = None
        self.connects = 0
        self.refuse = None  # an error code for every connect
        self.mute = False   # do not answer connects
        self.start()

    def start(self):
        if os.path.exists(self.path):
            os.unlink(self.path)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(self.path)
        os.chmod(self.path, 0o666)
        self.listener.listen(16)
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def stop(self):
        """As when vmhost dies: agents and their sockets live on."""
        self.listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self.listener.close()
        os.unlink(self.path)
        with self.lock:
            clients, self.clients = self.clients, []
        for sock in clients:
            sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def tell(self, **body):
        with self.lock:
            for sock in list(self.clients):
                try:
                    sock.send(json.dumps(body).encode())
                except OSError:
                    self.clients.remove(sock)

    def route(self, sandbox, port, token, generation=1, state="running"):
        body = {"t": "route", "id": sandbox["id"], "rt": sandbox["rt"], "generation": generation, "state": state, "agent_token": token,
                "team": "1", "deadline_ms": int(time.time() * 1000) + 3600_000}
        self.routes[sandbox["id"]] = (body, port)
        self.tell(**body)

    def gone(self, sandbox, reason="killed"):
        body, _ = self.routes.pop(sandbox["id"])
        self.tell(t="gone", id=body["id"], rt=body["rt"], generation=body["generation"], reason=reason)

    def _accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        try:
            assert json.loads(sock.recv(65536))["t"] == "hello"
            sock.send(json.dumps({"t": "hello", "v": 1, "host": "fake"}).encode())
            with self.lock:
                for body, _ in list(self.routes.values()):
                    sock.send(json.dumps(body).encode())
                sock.send(b'{"t":"synced"}')
                self.clients.append(sock)
            while True:
                data = sock.recv(65536)
                if not data:
                    return
                self._connect(sock, json.loads(data))
        except (OSError, ValueError):
            pass

    def _connect(self, sock, ask):
        assert ask["t"] == "connect", ask
        self.connects += 1
        if self.mute:
            return
        if self.refuse or ask["id"] not in self.routes:
            error = self.refuse or "vm_not_found"
            sock.send(json.dumps({"t": "connected", "req": ask["req"], "error": error, "message": "no"}).encode())
            return
        try:
            made = socket.create_connection(("127.0.0.1", self.routes[ask["id"]][1]), 5)
        except OSError as error:
            sock.send(json.dumps({"t": "connected", "req": ask["req"], "error": "connect_failed", "message": str(error)}).encode())
            return
        made.setblocking(False)
        with made:
            socket.send_fds(sock, [json.dumps({"t": "connected", "req": ask["req"]}).encode()], [made.fileno()])


def b64(data):
    return base64.b64encode(data if isinstance(data, bytes) else data.encode()).decode()


__all__ = ["FakeAgent", "FakeProc", "FakeLink", "FakeVmhost", "frame", "message", "pid_bytes", "b64", "STDOUT", "STDERR", "PTY"]
