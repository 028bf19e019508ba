# SPDX-License-Identifier: Apache-2.0
"""
cluster - a whole private Bivouac for tests: PostgreSQL, Redis, control, gateway, vmhost on free ports with data in a temporary folder.
It is the instance of ./dev up with a pipe as lifeline: when the test process dies, however it dies, everything ends and is removed.
"""
import os
import re
import secrets
import shutil
import signal
import subprocess

from bivdev import fleet, leftovers, proc
from bivdev.admin import Admin
from bivdev.instance import DAEMONS, Instance
from support import ROOT, wait
from support.client import ApiClient

BASE = os.environ.get("BIVOUAC_TEST_DIR", "/var/tmp/bivouac-test")
BUILD = os.environ.get("BIVOUAC_BUILD_DIR", os.path.join(ROOT, "build", "asan-ubsan"))
IMAGES = os.environ.get("BIVOUAC_IMAGES_DIR", "/var/lib/bivouac-dev/test-images")
TROUBLE = re.compile(r"AddressSanitizer|LeakSanitizer|runtime error:|UndefinedBehaviorSanitizer|Assertion .* failed|stack smashing")


class Daemon:
    """A handle on one supervised process."""

    def __init__(self, cluster, name):
        self.cluster, self.name = cluster, name

    @property
    def status(self):
        return self.cluster.supervisor.services()[self.name]

    @property
    def pid(self):
        return self.status["pid"]

    def kill(self, signum=signal.SIGKILL):
        """Like an accident: the supervisor starts it again. Returns when the old process is gone."""
        who = proc.ident(self.pid)
        os.kill(who["pid"], signum)
        assert proc.wait_gone(who, 20), f"{self.name} does not die"

    def stop(self):
        assert self.cluster.supervisor.call(cmd="stop", name=self.name)["ok"]

    def start(self):
        self.cluster.supervisor.call(cmd="start", name=self.name)

    def restart(self):
        self.cluster.supervisor.call(cmd="restart", name=self.name)
        self.wait_ready()

    def pause(self):
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self):
        os.kill(self.pid, signal.SIGCONT)

    def wait_ready(self, timeout_s=60):
        broken = self.cluster.supervisor.wait_running([self.name], timeout_s)
        assert broken is None, f"{self.name} is {broken['state']} (exit {broken.get('last_exit')}):\n{self.log_tail()}"

    def rss(self):
        """Resident bytes of the main process and its children."""
        total = 0
        for pid in [self.pid, *children(self.pid)]:
            with open(f"/proc/{pid}/statm") as file:
                total += int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return total

    def log(self):
        with open(self.cluster.inst.log(self.name), errors="replace") as file:
            return file.read()

    def log_tail(self, lines=40):
        return "\n".join(self.log().splitlines()[-lines:])


class Postgres(Daemon):
    def query(self, sql):
        return self.cluster.inst.postgres.query(sql, database="bivouac")

    @property
    def url(self):
        return self.cluster.inst.postgres.url


class Redis(Daemon):
    def client(self):
        import redis

        return redis.Redis.from_url(self.cluster.inst.redis.url)


class Control(Daemon):
    @property
    def url(self):
        return self.cluster.inst.api_url


class Gateway(Daemon):
    @property
    def address(self):
        return ("127.0.0.1", self.cluster.inst.port("gateway"))


class VmHost(Daemon):
    def machines(self):
        return leftovers.Leftovers(self.cluster.inst.state, self.cluster.inst.ident).machines()

    def left(self):
        return leftovers.Leftovers(self.cluster.inst.state, self.cluster.inst.ident).all()


def children(pid):
    found = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as file:
                found += [int(p) for p in file.read().split()]
    except OSError:
        pass
    return found


class Cluster:
    """daemons: which of control, gateway, vmhost run. overrides: {"gateway": {key: value}} goes into the configuration files."""

    KINDS = {"postgres": Postgres, "redis": Redis, "control": Control, "gateway": Gateway, "vmhost": VmHost}

    def __init__(self, daemons=DAEMONS, overrides=None, build=BUILD, images=IMAGES, prepare=None):
        self.ident = secrets.token_hex(4)
        self.daemons = tuple(daemons)
        self.build = build
        self.lifeline = None
        self.child = None
        self.inst = Instance(os.path.join(BASE, self.ident), self.ident, durable=False, images=images)
        self.inst.overrides = overrides or {}
        self.prepare = prepare
        self.supervisor = self.inst.supervisor
        for name, kind in self.KINDS.items():
            setattr(self, name, kind(self, name))

    def start(self):
        os.makedirs(BASE, exist_ok=True)
        self._check_machine()
        self.inst.prepare()
        if self.prepare:
            self.prepare(self)
        self.inst.install(self.build, self.daemons)
        self.inst.write_configs()
        self.inst.write_services(self.daemons, autostart=("postgres", "redis"))
        reader, self.lifeline = os.pipe()
        self.child = self.inst.start_supervisor(reader)
        os.close(reader)
        wait.until(self.supervisor.running, 10, what="the supervisor")
        self.postgres.wait_ready()
        self.redis.wait_ready()
        self.inst.postgres.ensure_database()
        if self.daemons:
            self._start_daemons()
        return self

    def _check_machine(self):
        if "vmhost" not in self.daemons:
            return
        assert os.geteuid() == 0, "end-to-end tests make network namespaces: run them as root"
        assert os.path.exists(os.path.join(self.inst.images, "base", "manifest.json")), \
            f"no guest image in {self.inst.images}; ./dev test e2e builds it"

    def _start_daemons(self):
        admin = Admin(self.inst)
        if "control" in self.daemons:
            admin.migrate()
            if "vmhost" in self.daemons:
                admin.ensure_template()
            admin.ensure_host_token()
        for name in self.daemons:
            self.supervisor.call(cmd="start", name=name)
        for name in self.daemons:
            getattr(self, name).wait_ready(90)
        if "control" in self.daemons:
            self.inst.facts.update(admin.make_team_and_key())
            self.inst.save_facts()
        if "vmhost" in self.daemons:
            self.wait_template()

    def wait_template(self):
        def ready():
            template = fleet.template_status(self.inst)
            assert template.get("status") != "failed", template
            return template.get("status") == "ready"
        try:
            wait.until(ready, 300, 0.3, what="template base")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.vmhost.log_tail(60)}") from None

    @property
    def admin(self):
        return Admin(self.inst)

    @property
    def key(self):
        return self.inst.facts["api_key"]

    def api(self, key=None, **kwargs):
        return ApiClient(self.inst.api_url, key or self.key, **kwargs)

    def trouble(self):
        """What sanitizers and assertions have written into the logs."""
        found = []
        for name in self.daemons:
            lines = self.daemon(name).log().splitlines()
            hits = [i for i, line in enumerate(lines) if TROUBLE.search(line)]
            if hits:
                found.append(f"{name}:\n" + "\n".join(lines[max(hits[0] - 3, 0):hits[0] + 40]))
        return found

    def daemon(self, name):
        return getattr(self, name)

    def logs(self, lines=40):
        return {name: self.daemon(name).log_tail(lines) for name in self.daemons}

    def stop(self, keep=False):
        if self.child:
            os.close(self.lifeline)
            try:
                self.child.wait(90)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
            self.child = None
        left = leftovers.Leftovers(self.inst.state, self.ident).remove()
        if not keep and os.path.exists(self.inst.state):
            shutil.rmtree(self.inst.state)
        assert not left, f"left behind: {left}"

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_):
        self.stop()
