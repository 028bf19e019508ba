# SPDX-License-Identifier: Apache-2.0
"""gateway_rig - bivouac-gateway alone: a private Redis, a vmhost that the test plays, agents real or played, sessions signed by the test."""
import json
import os
import secrets
import signal
import socket
import subprocess
import tempfile
import time

import jwt
import redis
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bivdev.process_stream import ProcessStream
from support import wait
from support.cluster import BUILD, TROUBLE
from support.fake_agent import FakeAgent, FakeVmhost

DOMAIN = "localhost"


class Keys:
    def __init__(self, folder, kid="k1"):
        self.folder, self.kid = folder, kid
        os.makedirs(folder, exist_ok=True)
        self.private = self.add(kid)

    def add(self, kid):
        private = ec.generate_private_key(ec.SECP256R1())
        with open(os.path.join(self.folder, f"{kid}.pem"), "wb") as out:
            out.write(private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
        return private

    def session(self, sandbox, kid=None, key=None, algorithm="ES256", **claims):
        now = int(time.time())
        body = {"iss": "bivouac", "aud": "dataplane", "sub": sandbox["id"], "rt": sandbox["rt"], "team": "1", "scope": "sandbox",
                "iat": now, "exp": now + 3600, "jti": secrets.token_hex(8), **claims}
        body = {k: v for k, v in body.items() if v is not None}
        return jwt.encode(body, key or self.private, algorithm=algorithm, headers={"kid": kid or self.kid})


class RedisServer:
    def __init__(self, folder, everysec=True):
        self.folder = os.path.join(folder, "redis")
        os.makedirs(self.folder, exist_ok=True)
        self.path = os.path.join(self.folder, "redis.sock")
        self.everysec = everysec
        self.process = None

    def start(self):
        args = ["redis-server", "--port", "0", "--unixsocket", self.path, "--unixsocketperm", "777", "--save", "", "--dir", self.folder,
                "--appendonly", "yes" if self.everysec else "no", "--appendfsync", "everysec", "--daemonize", "no", "--loglevel", "warning"]
        self.process = subprocess.Popen(args, stdout=subprocess.DEVNULL)
        wait.until(lambda: self.client().ping(), 20, what="redis")
        return self

    def client(self):
        return redis.Redis(unix_socket_path=self.path)

    def stop(self, signum=signal.SIGTERM):
        if self.process:
            self.process.send_signal(signum)
            self.process.wait(20)
            self.process = None

    def kill(self):
        self.stop(signal.SIGKILL)

    def forget(self):
        """Its data, while it is stopped."""
        for root, _, files in os.walk(self.folder):
            for name in files:
                os.unlink(os.path.join(root, name))


class Rig:
    def __init__(self, everysec=True, **conf):
        self.tmp = tempfile.TemporaryDirectory(prefix="gw-", dir="/tmp")
        os.chmod(self.tmp.name, 0o755)
        self.folder = self.tmp.name
        self.keys = Keys(os.path.join(self.folder, "keys"))
        self.redis = RedisServer(self.folder, everysec)
        self.vmhost = FakeVmhost(os.path.join(self.folder, "gate.sock"))
        self.agents = []
        self.sandboxes = {}
        self.next_id = 100
        self.conf = {"public_listen": f"127.0.0.1:{free_port()}", "admin_listen": f"127.0.0.1:{free_port()}", "redis_addr": self.redis.path,
                     "gate_socket": self.vmhost.path, "session_keys_dir": self.keys.folder, "domain": DOMAIN, "drain_ms": 2000, **conf}
        self.log_path = os.path.join(self.folder, "gateway.log")
        self.child = None

    # ---- life ----

    def __enter__(self):
        self.redis.start()
        self.start()
        return self

    def __exit__(self, kind, *_):
        try:
            status = self.stop()
            if kind is None:
                assert status == 0, f"the gateway ended with {status}\n{self.log_tail()}"
                assert not TROUBLE.search(self.log()), self.log_tail(80)
        finally:
            for agent in self.agents:
                agent.close()
            self.vmhost.stop()
            self.redis.stop()
            if kind is not None:
                print(self.log_tail(60))
            self.tmp.cleanup()

    def start(self, wait_up=True):
        conf = os.path.join(self.folder, "gateway.json")
        with open(conf, "w") as out:
            json.dump(self.conf, out)
        self.log_file = open(self.log_path, "ab")
        # a small quarantine, so that memory says something with the sanitizer too
        env = {**os.environ, "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=4"}
        self.child = subprocess.Popen([os.path.join(BUILD, "bin", "bivouac-gateway"), "--config", conf], stderr=self.log_file, env=env)
        if wait_up:
            self.wait_up()
        return self

    def wait_up(self):
        wait.until(lambda: self.child.poll() is not None or self.health()["gate"] == "up", 30, what="the gateway")
        assert self.child.poll() is None, self.log_tail()

    def stop(self, signum=signal.SIGTERM):
        if not self.child:
            return 0
        self.child.send_signal(signum)
        try:
            return self.child.wait(30)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            raise AssertionError("the gateway does not end: " + self.log_tail()) from None
        finally:
            self.child = None
            self.log_file.close()

    def kill(self):
        return self.stop(signal.SIGKILL)

    def log(self):
        with open(self.log_path, errors="replace") as file:
            return file.read()

    def log_tail(self, lines=40):
        return "\n".join(self.log().splitlines()[-lines:])

    def rss(self):
        with open(f"/proc/{self.child.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    # ---- sandboxes ----

    def agent(self, program=None):
        agent = FakeAgent(program)
        self.agents.append(agent)
        return agent

    def sandbox(self, agent=None, wait_link=True, **kwargs):
        agent = agent or self.agent(**kwargs)
        self.next_id += 1
        sandbox = {"id": str(self.next_id), "rt": "r" + secrets.token_hex(12)[:23], "agent": agent}
        self.sandboxes[sandbox["id"]] = sandbox
        self.vmhost.route(sandbox, agent.port, agent.token)
        if wait_link:
            wait.until(lambda: self.get(sandbox, "/process").status_code in (200, 503), 10, what="route")
            if isinstance(agent, FakeAgent):
                wait.until(lambda: agent.links, 10, what="agent link")
        return sandbox

    # ---- clients ----

    @property
    def port(self):
        return int(self.conf["public_listen"].rsplit(":", 1)[1])

    def token(self, sandbox, **claims):
        return self.keys.session(sandbox, **claims)

    def host(self, sandbox):
        return f"{sandbox['rt']}.sandbox.{DOMAIN}:{self.port}"

    def request(self, method, sandbox, path, token=None, headers=None, **kwargs):
        session = requests.Session()
        session.trust_env = False
        headers = {"Host": self.host(sandbox), "Authorization": f"Bearer {token or self.token(sandbox)}", **(headers or {})}
        headers = {k: v for k, v in headers.items() if v is not None}
        with session:
            return session.request(method, f"http://127.0.0.1:{self.port}/runtime/v1{path}", headers=headers,
                                   timeout=kwargs.pop("timeout", 30), **kwargs)

    def get(self, sandbox, path, **kwargs):
        return self.request("GET", sandbox, path, **kwargs)

    def process(self, sandbox, token=None, connect_to=None, timeout_s=20):
        return ProcessStream(f"http://{self.host(sandbox)}", token or self.token(sandbox), connect_to or ("127.0.0.1", self.port), timeout_s)

    def health(self):
        return requests.get(f"http://{self.conf['admin_listen']}/health", timeout=5, proxies={"http": None}).json()

    def metric(self, name):
        text = requests.get(f"http://{self.conf['admin_listen']}/metrics", timeout=5, proxies={"http": None}).text
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.split("{")[0].split(" ")[0] == name)


def free_port():
    """Below the range from which the system takes ports for connections: nobody gets it between here and the start."""
    while True:
        port = 12000 + secrets.randbelow(18000)
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue
