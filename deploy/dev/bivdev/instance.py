# SPDX-License-Identifier: Apache-2.0
"""
instance - one private Bivouac: its folder, ports, keys, configuration files and the list of services for the supervisor.

Folder (0755 on the way in, so that unprivileged daemons reach their parts even when the checkout lies in /root):
    bin/                  copies of what runs
    conf/                 <daemon>.json, services.json
    secrets/<owner>/      0700, one folder a uid
    pki/                  certificates; public session keys in pki/session/<kid>.pem
    run/                  sockets, pids;  log/  one file a service
    postgres/ redis/ images/ vmhost/
"""
import hashlib
import json
import os
import secrets
import shutil
import subprocess
import sys

from bivdev import configs, pki, ports
from bivdev.postgres import Postgres
from bivdev.redis import Redis
from bivdev.supervisor_client import SupervisorClient

UID_CONTROL, UID_GATEWAY, UID_VMHOST, UID_REDIS = 63001, 63002, 63003, 63004
PREFERRED_PORTS = {"api": 7400, "gateway": 7401}
PORT_NAMES = ("api", "gateway", "control_hosts", "control_admin", "gateway_admin", "vmhost_api", "vmhost_admin", "postgres", "redis")
DAEMONS = ("control", "gateway", "vmhost")
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))


def as_user(uid, *argv):
    """argv that runs under a numeric uid with no capability and no way to gain one."""
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--no-new-privs", "--inh-caps=-all", "--", *argv]


def ident_of(text):
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def write_file(path, text, mode=0o644, uid=0):
    """By rename, so that a reader sees the old text or the new one."""
    fd = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with os.fdopen(fd, "w") as out:
        os.fchmod(out.fileno(), mode)
        os.fchown(out.fileno(), uid, uid)
        out.write(text)
    os.replace(path + ".new", path)


class Instance:
    def __init__(self, state, ident, domain="localhost", preferred_ports=False, durable=True, images=None):
        self.state = os.path.abspath(state)
        self.ident = ident
        self.domain = domain
        self.durable = durable
        self.preferred_ports = preferred_ports
        self.images = images or self.path("images")
        self.facts_file = self.path("instance.json")
        self.facts = {"ident": ident, "ports": {}}
        if os.path.exists(self.facts_file):
            with open(self.facts_file) as file:
                self.facts = json.load(file)
        self.overrides = {}  # tests: {daemon: {key: value}} on top of the generated configuration
        self.supervisor = SupervisorClient(self.path("run"))

    def path(self, *parts):
        return os.path.join(self.state, *parts)

    def log(self, name):
        return self.path("log", f"{name}.log")

    def secret(self, owner, name):
        return self.path("secrets", owner, name)

    def port(self, name):
        return self.facts["ports"][name]

    @property
    def host_name(self):
        return f"dev-{self.ident}"

    @property
    def api_url(self):
        return f"http://api.{self.domain}:{self.port('api')}/v1"

    @property
    def gateway_url(self):
        return f"http://127.0.0.1:{self.port('gateway')}"

    @property
    def sandbox_domain(self):
        return f"{self.domain}:{self.port('gateway')}"

    @property
    def postgres(self):
        return Postgres(self.path("postgres"), self.path("run", "postgres"), self.secret("root", "postgres"), self.port("postgres"))

    @property
    def redis(self):
        return Redis(self.path("redis"), self.secret("root", "redis"), self.port("redis"), UID_REDIS)

    # ---- made once -------------------------------------------------------------------------------------------------

    def ensure_folders(self):
        for name in ("", "bin", "conf", "secrets", "pki", "pki/session", "run", "log", "postgres", "redis", "images", "vmhost"):
            os.makedirs(self.path(name), exist_ok=True)
            os.chmod(self.path(name), 0o755)
        owners = {"root": 0, "control": UID_CONTROL, "gateway": UID_GATEWAY, "vmhost": UID_VMHOST}
        for name, uid in owners.items():
            os.makedirs(self.path("secrets", name), exist_ok=True)
            os.chmod(self.path("secrets", name), 0o700)
            os.chown(self.path("secrets", name), uid, uid)

    def save_facts(self):
        write_file(self.facts_file, json.dumps(self.facts, indent=2) + "\n", 0o600)  # it bears the API key

    def ensure_ports(self):
        """Remembers ports; one that another program has taken meanwhile is replaced. Returns what changed: {name: (old, new)}."""
        running = {s["name"] for s in self.supervisor.services().values() if s["pid"]}
        changed = {}
        known = self.facts["ports"]
        for name in PORT_NAMES:
            old = known.get(name)
            if old and (running or ports.is_free(old)):
                continue
            preferred = PREFERRED_PORTS.get(name) if self.preferred_ports else None
            known[name] = ports.pick(set(known.values()), preferred)
            if old:
                changed[name] = (old, known[name])
        self.save_facts()
        return changed

    def ensure_secret(self, owner, name, uid, make=lambda: secrets.token_hex(32)):
        path = self.secret(owner, name)
        if not os.path.exists(path):
            write_file(path, make() + "\n", 0o400, uid)
        return path

    def ensure_keys(self):
        authority = pki.Authority(self.path("pki"))
        authority.ensure(f"Bivouac development host {self.ident}")
        for common_name, owner, uid in (("bivouac-control", "control", UID_CONTROL), (self.host_name, "vmhost", UID_VMHOST)):
            key = self.secret(owner, "tls.key")
            authority.issue(common_name, self.path("pki", f"{owner}.pem"), key)
            os.chown(key, uid, uid)
        key = self.secret("control", "session.key")
        pki.make_key(key)
        os.chown(key, UID_CONTROL, UID_CONTROL)
        if "session_kid" not in self.facts:
            self.facts["session_kid"] = "s" + secrets.token_hex(4)
            self.save_facts()
        pki.make_public(key, self.path("pki", "session", self.facts["session_kid"] + ".pem"))
        # environment values at rest: AES-256-GCM
        self.ensure_secret("control", "data.keys", UID_CONTROL, lambda: f"k{secrets.token_hex(3)} {secrets.token_hex(32)}")

    def prepare(self):
        """Everything that does not need a running server. Returns replaced ports."""
        self.ensure_folders()
        changed = self.ensure_ports()
        self.ensure_keys()
        self.postgres.ensure_cluster(self.durable)
        self.redis.ensure()
        write_file(self.secret("control", "database_url"), self.postgres.url + "\n", 0o400, UID_CONTROL)
        write_file(self.secret("gateway", "redis_password"), self.redis.password + "\n", 0o400, UID_GATEWAY)
        return changed

    def install(self, build_dir, daemons=DAEMONS):
        """Copies programs in; True when one differs from what was there."""
        changed = False
        for name in daemons:
            for path in configs.program_files(name):
                changed |= self._install_file(os.path.join(build_dir, path), self.path("bin", os.path.basename(path)), 0o755)
        return changed

    @staticmethod
    def _install_file(source, target, mode):
        if not os.path.exists(source):
            raise FileNotFoundError(f"{source} is not built")
        with open(source, "rb") as one:
            new = one.read()
        if os.path.exists(target):
            with open(target, "rb") as two:
                if two.read() == new:
                    return False
        with open(target + ".new", "wb") as out:
            out.write(new)
        os.chmod(target + ".new", mode)
        os.replace(target + ".new", target)
        return True

    # ---- services --------------------------------------------------------------------------------------------------

    def write_configs(self):
        """Configuration files of the daemons; the names of those that changed."""
        changed = []
        for name, conf in configs.all_of(self).items():
            conf = {**conf, **self.overrides.get(name, {})}
            path = self.path("conf", f"{name}.json")
            text = json.dumps(conf, indent=2) + "\n"
            if not os.path.exists(path) or open(path).read() != text:
                write_file(path, text)
                changed.append(name)
        return changed

    def services(self, daemons=DAEMONS, autostart=None):
        """autostart: names that the supervisor starts by itself; None = all."""
        listed = [self.postgres.service(self.log("postgres")), self.redis.service(as_user, self.log("redis"))]
        listed += [configs.service(self, name) for name in daemons]
        return [{**s, "autostart": autostart is None or s["name"] in autostart} for s in listed]

    def write_services(self, daemons=DAEMONS, autostart=None):
        after = [sys.executable, "-m", "bivdev.leftovers", self.state]
        conf = {"run_dir": self.path("run"), "log_cap_bytes": 16 << 20, "after_stop": after,
                "services": self.services(daemons, autostart)}
        path = self.path("conf", "services.json")
        write_file(path, json.dumps(conf, indent=2) + "\n")
        return path

    def start_supervisor(self, lifeline=None):
        """Starts it in a session of its own. It owns the services; `lifeline` (a pipe's read end) ties it to us."""
        path = self.path("conf", "services.json")
        argv = [sys.executable, "-m", "bivdev.supervise", path]
        keep = []
        if lifeline is not None:
            argv += ["--lifeline", str(lifeline)]
            keep = [lifeline]
        env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PGPASSWORD")}
        env["PYTHONPATH"] = os.path.dirname(HERE)
        with open(self.log("supervisor"), "ab") as out:
            return subprocess.Popen(argv, cwd="/", env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                    start_new_session=True, pass_fds=keep)

    def shell_exports(self):
        return {
            "BIVOUAC_API_URL": self.api_url, "BIVOUAC_API_KEY": self.facts.get("api_key", ""),
            "BIVOUAC_TEAM": self.facts.get("team", ""), "BIVOUAC_SANDBOX_DOMAIN": self.sandbox_domain,
            "BIVOUAC_GATEWAY_URL": self.gateway_url, "BIVOUAC_STATE_DIR": self.state,
            "DATABASE_URL": self.postgres.url, "REDIS_URL": self.redis.url,
        }

    def purge(self):
        for name in os.listdir(self.state):
            path = self.path(name)
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            else:
                os.unlink(path)
        os.rmdir(self.state)
