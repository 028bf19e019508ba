# SPDX-License-Identifier: Apache-2.0
"""
rig - a gateway of its own without any VM: a Redis as ./dev up configures it, a fake vmhost that speaks gate.sock and hands out sockets to an
agent that runs natively, and nginx as a reverse proxy to the same agent. What is measured is the gateway, not a software-emulated guest.
"""
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

from benchlib import Unavailable, measure
from bivdev import ports
from bivdev.instance import UID_GATEWAY, UID_REDIS, as_user
from bivdev.redis import Redis

ROUTE = "benchmark0000000000route"
SANDBOX, TEAM, KID = "42", "1", "bench"

NGINX = """
daemon off; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/nginx.log warn;
events {{ worker_connections 4096; }}
http {{
  access_log {dir}/access.log; client_max_body_size 0; sendfile on; tcp_nodelay on; keepalive_requests 100000000;
  client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  upstream agent {{ server 127.0.0.1:{agent}; keepalive 64; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://agent; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host agent;
      proxy_set_header Authorization "Bearer {token}"; proxy_request_buffering off; proxy_max_temp_file_size 0;
    }}
  }}
}}
"""


def write(path, text, mode=0o644, uid=0):
    with open(path, "w") as file:
        os.fchmod(file.fileno(), mode)
        os.fchown(file.fileno(), uid, uid)
        file.write(text)
    return path


class FakeHost:
    """The vmhost end of gate.sock for one route."""

    def __init__(self, path, agent_token, agent_address):
        self.agent_token, self.agent_address = agent_token, agent_address
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(path)
        os.chmod(path, 0o666)
        self.listener.listen(4)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _say(self, peer, **message):
        peer.send(json.dumps(message).encode())

    def _serve(self, peer):
        with peer:
            while packet := peer.recv(65536):
                message = json.loads(packet)
                if message["t"] == "hello":
                    self._say(peer, t="hello", v=1, host="bench")
                    self._say(peer, t="route", id=SANDBOX, rt=ROUTE, generation=1, state="running", agent_token=self.agent_token,
                              team=TEAM, deadline_ms=int(time.time() * 1000) + 86_400_000)
                    self._say(peer, t="synced")
                elif message["t"] == "connect":
                    self._connect(peer, message["req"])

    def _connect(self, peer, req):
        with socket.create_connection(self.agent_address, 5) as agent:
            agent.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            agent.setblocking(False)
            socket.send_fds(peer, [json.dumps({"t": "connected", "req": req}).encode()], [agent.fileno()])

    def close(self):
        self.listener.close()


class Rig:
    """frame_agent=True: bench-frame-agent instead of the real agent. conf: keys of the gateway on top of its defaults."""

    def __init__(self, build, frame_agent=False, with_nginx=False, conf=None):
        self.build, self.conf = build, conf or {}
        self.folder = tempfile.mkdtemp(prefix="biv-bench-", dir="/var/tmp")
        os.chmod(self.folder, 0o755)
        self.children = []
        self.host = None
        self.agent_token = secrets.token_hex(32)
        try:
            self._start_redis()
            self._start_agent(frame_agent)
            self._start_gateway()
            self.nginx = self._start_nginx() if with_nginx else None
        except BaseException:
            self.close()
            raise

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def program(self, name):
        path = os.path.join(self.build, "bin", name)
        if not os.path.exists(path):
            raise Unavailable(f"{path} is not built")
        return path

    def _spawn(self, name, *argv, stdout=None):
        with open(self.path(f"{name}.log"), "ab") as log:
            child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=stdout or log, stderr=log, start_new_session=True, cwd="/")
        self.children.append((name, child))
        return child

    def log_tail(self, name):
        with open(self.path(f"{name}.log"), errors="replace") as file:
            return file.read()[-1500:]

    def _wait(self, name, child, ready, timeout_s=20):
        end = time.monotonic() + timeout_s
        while not ready():
            if child.poll() is not None or time.monotonic() > end:
                raise Unavailable(f"{name} does not start: {self.log_tail(name)}")
            time.sleep(0.02)

    # ---- the parts ----

    def _start_redis(self):
        os.mkdir(self.path("redis"))
        self.redis = Redis(self.path("redis"), self.path("redis_password"), ports.pick(), UID_REDIS)
        self.redis.ensure()
        with open(self.redis.conf, "a") as file:
            file.write("maxmemory 2gb\n")  # what is measured is not how a small Redis fills up
        child = self._spawn("redis", *as_user(UID_REDIS, "/usr/bin/redis-server", self.redis.conf))
        self._wait("redis", child, lambda: self._accepts(self.redis.port))

    def _start_agent(self, frame_agent):
        workspace = self.path("workspace")
        os.mkdir(workspace)
        os.chmod(workspace, 0o777)
        if frame_agent:
            argv = [self.program("bench-frame-agent")]
        else:
            token = write(self.path("agent_token"), self.agent_token + "\n", 0o600)
            argv = [self.program("bivouac-agent"), "--foreground", "--listen", "127.0.0.1:0", "--token-file", token, "--workspace", workspace]
        agent = self._spawn("agent", *argv, stdout=subprocess.PIPE)
        line = agent.stdout.readline().decode()
        match = re.search(r"(\d+)\s*$", line)
        if not match:
            raise Unavailable(f"the agent says no port: {line!r} {self.log_tail('agent')}")
        self.agent_port = int(match.group(1))

    def _start_gateway(self):
        keys = self.path("keys")
        os.mkdir(keys)
        private = self.path("session.key")
        subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", private], check=True)
        os.chmod(private, 0o600)
        subprocess.run(["openssl", "ec", "-in", private, "-pubout", "-out", os.path.join(keys, f"{KID}.pem")], check=True,
                       stderr=subprocess.DEVNULL)
        said = subprocess.run([self.program("bench-token"), KID, private, SANDBOX, ROUTE, TEAM, "86400"], capture_output=True, text=True,
                              check=True)
        self.token = said.stdout.strip()
        os.mkdir(self.path("gate"))
        self.host = FakeHost(self.path("gate", "gate.sock"), self.agent_token, ("127.0.0.1", self.agent_port))
        self.port, self.admin_port = ports.pick(), ports.pick()
        password = write(self.path("gateway_redis_password"), self.redis.password + "\n", 0o600, UID_GATEWAY)
        conf = {"public_listen": f"127.0.0.1:{self.port}", "admin_listen": f"127.0.0.1:{self.admin_port}",
                "redis_addr": f"127.0.0.1:{self.redis.port}", "redis_password_file": password, "session_keys_dir": keys,
                "gate_socket": self.path("gate", "gate.sock"), **self.conf}
        write(self.path("gateway.json"), json.dumps(conf))
        self.gateway = self._spawn("gateway", *as_user(UID_GATEWAY, self.program("bivouac-gateway"), "--config", self.path("gateway.json")))
        self._wait("gateway", self.gateway, self._gateway_ready)

    def _gateway_ready(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/health", timeout=2) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def _start_nginx(self):
        self.nginx_port = ports.pick((self.port, self.admin_port))
        conf = write(self.path("nginx.conf"), NGINX.format(dir=self.folder, agent=self.agent_port, port=self.nginx_port,
                                                           token=self.agent_token))
        child = self._spawn("nginx", "/usr/sbin/nginx", "-c", conf, "-g", "user root;")
        self._wait("nginx", child, lambda: self._accepts(self.nginx_port))
        return child

    @staticmethod
    def _accepts(port):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        except OSError:
            return False

    # ---- for the rows ----

    @property
    def host_header(self):
        return f"{ROUTE}.sandbox.localhost:{self.port}"

    @property
    def gateway_pids(self):
        return measure.descendants(self.gateway.pid)

    @property
    def nginx_pids(self):
        return measure.descendants(self.nginx.pid)

    @property
    def headers(self):
        return {"Host": self.host_header, "Authorization": f"Bearer {self.token}"}

    def close(self):
        for _, child in reversed(self.children):
            if child.poll() is None:
                child.terminate()
        for _, child in self.children:
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        if self.host:
            self.host.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
