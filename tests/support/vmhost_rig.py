# SPDX-License-Identifier: Apache-2.0
"""vmhost_rig - bivouac-vmhost alone with real machines: the test plays control (host API over mTLS, heartbeats) and the gateway (gate.sock)."""
import http.client
import json
import os
import re
import secrets
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from bivdev import leftovers, proc
from bivdev.pki import Authority
from support import wait
from support.cluster import BASE, BUILD, IMAGES, TROUBLE

UID_VMHOST, UID_GATEWAY = 63003, 63002


class Answer:
    def __init__(self, status, body):
        self.status, self.body = status, body
        self.text = body.decode(errors="replace")
        self.json = json.loads(body) if body[:1] in (b"{", b"[") else None

    def __repr__(self):
        return f"<{self.status} {self.text[:300]}>"


class FakeControl:
    """Takes heartbeats; `ack` says which ended machines it acknowledges, `drain` what it tells the host."""

    def __init__(self, rig):
        fake = self
        self.beats, self.ack, self.drain, self.away = [], set(), False, False
        self.tokens = set()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if fake.away:
                    self.close_connection = True
                    return
                fake.tokens.add(self.headers["Authorization"])
                fake.beats.append(body)
                reply = json.dumps({"host": {"name": "h", "drain": fake.drain}, "ended_ack": sorted(fake.ack),
                                    "now_ms": int(time.time() * 1000)}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(rig.file("pki/control.pem"), rig.file("pki/control.key"))
        context.load_verify_locations(rig.file("pki/ca.pem"))
        context.verify_mode = ssl.CERT_REQUIRED
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def ended(self):
        """id -> reason of the machines that the last heartbeat calls gone."""
        return {vm["id"]: vm["end_reason"] for vm in self.beats[-1]["vms"] if vm["state"] == "gone"} if self.beats else {}


class Gateway:
    """A gateway's end of gate.sock."""

    def __init__(self, path, uid=None):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(20)
        if uid is not None:
            os.seteuid(uid)
        try:
            self.sock.connect(path)
        finally:
            if uid is not None:
                os.seteuid(0)
        self.req = 0
        self.routes, self.gone = {}, []

    def close(self):
        self.sock.close()

    def send(self, **body):
        self.sock.send(json.dumps(body).encode())

    def receive(self):
        """(message, descriptor or None); None at the end."""
        data, fds, _, _ = socket.recv_fds(self.sock, 70000, 1)
        if not data:
            return None, None
        message = json.loads(data)
        if message["t"] == "route":
            self.routes[message["id"]] = message
        elif message["t"] == "gone":
            self.gone.append(message)
            self.routes.pop(message["id"], None)
        return message, fds[0] if fds else None

    def hello(self):
        self.send(t="hello", v=1)
        message, _ = self.receive()
        assert message["t"] == "hello" and message["v"] == 1, message
        while message["t"] != "synced":
            message, _ = self.receive()
        return self

    def connect(self, vm_id):
        """A socket to the agent, or the error message."""
        self.req += 1
        self.send(t="connect", req=self.req, id=str(vm_id))
        while True:
            message, fd = self.receive()
            if message["t"] == "connected" and message["req"] == self.req:
                return socket.socket(fileno=fd) if fd is not None else message

    def agent(self, vm_id, method, path, body=None, token=None, timeout=20):
        """One HTTP request to the agent with the token of the route."""
        sock = self.connect(vm_id)
        assert isinstance(sock, socket.socket), sock
        sock.settimeout(timeout)
        connection = http.client.HTTPConnection("169.254.77.2")
        connection.sock = sock
        headers = {"Authorization": "Bearer " + (token or self.routes[str(vm_id)]["agent_token"])}
        connection.request(method, path, body=json.dumps(body) if body is not None else None,
                           headers={**headers, **({"Content-Type": "application/json"} if body is not None else {})})
        answer = connection.getresponse()
        with connection.sock or sock:
            return Answer(answer.status, answer.read())

    def spawn(self, vm_id, cmd, *args, user="root"):
        """Starts a process in the guest over the agent's link and leaves it alone."""
        sock = self.connect(vm_id)
        assert isinstance(sock, socket.socket), sock
        sock.settimeout(20)
        with sock:
            token = self.routes[str(vm_id)]["agent_token"]
            sock.sendall(f"GET /agent/v1/link HTTP/1.1\r\nHost: agent\r\nAuthorization: Bearer {token}\r\n"
                         "Connection: Upgrade\r\nUpgrade: bivouac-link/1\r\n\r\n".encode())
            data = b""
            while b"\r\n\r\n" not in data:
                data += sock.recv(4096)
            assert data.startswith(b"HTTP/1.1 101"), data
            start = json.dumps({"cmd": cmd, "args": list(args), "user": user}).encode()
            sock.sendall(struct.pack("<IBI", 5 + len(start), 1, 7) + start)
            data = data.split(b"\r\n\r\n", 1)[1]
            while b'"os_pid"' not in data and b'"error"' not in data:
                data += sock.recv(4096)
            assert b'"os_pid"' in data, data


class VmhostRig:
    def __init__(self, images=IMAGES, disk_mb=None, **conf):
        """disk_mb: the state lies on a file system of that size."""
        self.disk_mb = disk_mb
        self.ident = secrets.token_hex(4)
        self.folder = os.path.join(BASE, "vmhost-" + self.ident)
        self.images = images
        self.overrides = conf
        self.process = None
        self.next_id = 1000
        self.left_of = leftovers.Leftovers(os.path.join(self.folder, "state"), self.ident)

    # ---- life ----

    def file(self, name):
        return os.path.join(self.folder, name)

    def __enter__(self):
        assert os.geteuid() == 0, "machines need network namespaces: run as root"
        assert os.path.exists(os.path.join(IMAGES, "base", "manifest.json")), f"no guest image in {IMAGES}; ./dev test builds it"
        os.makedirs(self.file("pki"), exist_ok=True)
        authority = Authority(self.file("pki"))
        authority.ensure("test")
        for name, common_name in (("control", "bivouac-control"), ("host", "h"), ("other", "somebody")):
            authority.issue(common_name, self.file(f"pki/{name}.pem"), self.file(f"pki/{name}.key"))
        self.give("pki/host.key", UID_VMHOST)
        with open(self.file("token"), "w") as out:
            out.write("bvh_1_" + secrets.token_hex(16) + "\n")
        self.give("token", UID_VMHOST)
        self.control = FakeControl(self)
        try:
            if self.disk_mb:
                self.mount_disk()
            self.start()
        except BaseException as problem:
            self.__exit__(type(problem))
            raise
        return self

    def mount_disk(self):
        subprocess.run(["truncate", "-s", f"{self.disk_mb}M", self.file("disk.img")], check=True)
        subprocess.run(["mke2fs", "-q", "-t", "ext4", "-m", "0", "-F", self.file("disk.img")], check=True)
        os.makedirs(self.file("state"))
        subprocess.run(["mount", "-o", "loop", self.file("disk.img"), self.file("state")], check=True)

    def give(self, name, uid):
        os.chmod(self.file(name), 0o400)
        os.chown(self.file(name), uid, uid)

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                assert self.stop() == 0, self.log_tail()
                assert not TROUBLE.search(self.log()), self.log_tail(80)
        finally:
            self.kill()
            if kind is not None:
                print(self.log_tail(80))
            self.control.stop()
            try:
                purge = subprocess.run([self.program, "purge", "--config", self.file("vmhost.json")], capture_output=True, text=True)
                assert purge.returncode == 0, purge.stderr
                if self.disk_mb:
                    subprocess.run(["umount", self.file("state")], check=True)
                if kind is None:
                    assert self.left_of.all() == {}, self.left_of.all()
            finally:
                self.left_of.remove()
                shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def program(self):
        return os.path.join(BUILD, "bin", "bivouac-vmhost")

    def write_conf(self):
        conf = {
            "instance": leftovers.instance_name(self.ident), "host_name": "h", "state_dir": self.file("state"), "images_dir": self.images,
            "run_dir": self.file("run"), "gate_socket": self.file("gate/gate.sock"), "listen": "127.0.0.1:0", "admin_listen": "127.0.0.1:0",
            "tls_cert": self.file("pki/host.pem"), "tls_key": self.file("pki/host.key"), "tls_ca": self.file("pki/ca.pem"),
            "uid_base": leftovers.uid_base(self.ident), "child_uid": UID_VMHOST, "gateway_uid": UID_GATEWAY, "heartbeat_ms": 200,
            "control_addr": f"127.0.0.1:{self.control.port}", "host_token_file": self.file("token"), "gateway_url": "http://g:1",
            "accelerator": "tcg", **self.overrides,
        }
        if conf["listen"].endswith(":0"):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                conf["listen"] = f"127.0.0.1:{probe.getsockname()[1]}"
        self.port = int(conf["listen"].rsplit(":", 1)[1])
        with open(self.file("vmhost.json"), "w") as out:
            json.dump(conf, out)

    def start(self, wait_ready=True):
        self.write_conf()
        self.log_file = open(self.file("vmhost.log"), "ab")
        env = {**os.environ, "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "")}
        self.process = subprocess.Popen([self.program, "--config", self.file("vmhost.json")], stderr=self.log_file, stdout=self.log_file,
                                        env=env, start_new_session=True)
        self.log_file.close()
        if wait_ready:
            wait.until(lambda: self.process.poll() is not None or self.get("/health").status == 200, 60, what="vmhost")
            assert self.process.poll() is None, self.log_tail()
        return self

    def stop(self, signum=signal.SIGTERM):
        """The exit code; machines go on."""
        if not self.process:
            return 0
        self.process.send_signal(signum)
        code = self.process.wait(40)
        self.process = None
        return code

    def child_pid(self):
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as file:
            for pid in file.read().split():
                with open(f"/proc/{pid}/cmdline") as cmdline:
                    if "child" in cmdline.read().split("\0"):
                        return int(pid)
        raise AssertionError("no child")

    def kill(self, who="parent"):
        """kill -9 of one of the two; both are gone afterwards."""
        if not self.process:
            return
        child = self.child_pid() if self.process.poll() is None else None
        ident = proc.ident(child) if child else None
        os.kill(self.process.pid if who == "parent" or not child else child, signal.SIGKILL)
        self.process.wait(30)
        assert ident is None or proc.wait_gone(ident, 20), "the child outlives its parent"
        self.process = None

    def log(self):
        with open(self.file("vmhost.log"), errors="replace") as file:
            return file.read()

    def log_tail(self, lines=40):
        return "\n".join(self.log().splitlines()[-lines:])

    # ---- the host API ----

    def context(self, name="control"):
        context = ssl.create_default_context(cafile=self.file("pki/ca.pem"))
        if name:
            context.load_cert_chain(self.file(f"pki/{name}.pem"), self.file(f"pki/{name}.key"))
        return context

    def call(self, method, path, body=None, who="control", timeout=60):
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=self.context(who), timeout=timeout)
        try:
            data = body if isinstance(body, (bytes, str, type(None))) else json.dumps(body)
            connection.request(method, path, body=data, headers={"Content-Type": "application/json"} if data is not None else {})
            answer = connection.getresponse()
            return Answer(answer.status, answer.read())
        finally:
            connection.close()

    def get(self, path, **kwargs):
        return self.call("GET", path, **kwargs)

    def template(self, slug="base"):
        return next(t for t in self.get("/host/v1/templates").json["templates"] if t["slug"] == slug)

    def wait_template(self, timeout_s=240):
        def settled():
            template = self.template()
            assert template["status"] != "failed", template
            return template["status"] == "ready" and template
        return wait.until(settled, timeout_s, 0.2, what="template base")

    def spec(self, **changes):
        template = self.template()
        return {"generation": 1, "template": {"slug": "base", "version": template["version"]}, "cpu_count": template["cpu_count"],
                "memory_mb": template["memory_mb"], "route_token": "r" + secrets.token_hex(12)[:23], "team": "7", "hostname": "box",
                "deadline_ms": int((time.time() + 600) * 1000), "on_timeout": "kill", "env": {"A": "1"}, **changes}

    def new_id(self):
        self.next_id += 1
        return str(self.next_id)

    def put(self, vm_id, **changes):
        return self.call("PUT", f"/host/v1/vms/{vm_id}", self.spec(**changes))

    def create(self, **changes):
        vm_id = self.new_id()
        answer = self.put(vm_id, **changes)
        assert answer.status == 200, f"{answer}\n{self.log_tail()}"
        return answer.json["vm"]

    def delete(self, vm_id, generation=1):
        return self.call("DELETE", f"/host/v1/vms/{vm_id}?generation={generation}")

    def vm(self, vm_id):
        return self.get(f"/host/v1/vms/{vm_id}")

    def gateway(self, uid=UID_GATEWAY):
        return Gateway(self.file("gate/gate.sock"), uid).hello()

    # ---- what is on the machine ----

    def machines(self):
        return self.left_of.machines()

    def machine_of(self, vm_id):
        """pid of the QEMU of that sandbox."""
        for pid in self.machines():
            with open(f"/proc/{pid}/cmdline") as file:
                if f"guest={vm_id}," in file.read():
                    return pid
        return None

    def journal(self):
        folder = self.file("state/journal")
        return sorted(name for name in os.listdir(folder) if name.endswith(".json"))

    def folders(self):
        return sorted(name for name in os.listdir(self.file("state/vms")) if not name.startswith("."))

    def namespaces(self):
        return self.left_of.namespaces()


def fdinfo_flags(pid, fd):
    with open(f"/proc/{pid}/fdinfo/{fd}") as file:
        return int(re.search(r"flags:\s+(\d+)", file.read()).group(1), 8)
