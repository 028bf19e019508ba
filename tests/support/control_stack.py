# SPDX-License-Identifier: Apache-2.0
"""
control_stack - bivouac-control alone on a private PostgreSQL (own data folder, unix socket), with fake hosts beside it. Light: for tests of the
control plane that need no machine.
"""
import json
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import psycopg2
import requests

from bivdev import pki
from bivdev.postgres import find_bin
from support import ROOT, wait
from support.client import ApiClient
from support.fake_host import FakeHost

BUILD = os.environ.get("BIVOUAC_BUILD_DIR", os.path.join(ROOT, "build", "asan-ubsan"))
TROUBLE = re.compile(r"AddressSanitizer|LeakSanitizer|runtime error:|Assertion .* failed|stack smashing")
BASE_TEMPLATE = {"slug": "base", "version": "2030-01-01-abc", "cpu_count": 2, "memory_mb": 1024}


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class PgCluster:
    """A private PostgreSQL on a unix socket."""

    def __init__(self, folder):
        self.folder = folder
        self.data, self.socket_dir = os.path.join(folder, "pg"), os.path.join(folder, "pgrun")
        self.log = os.path.join(folder, "pg.log")
        self.bin = find_bin()
        account = pwd.getpwnam("postgres")
        self.prefix = [] if os.geteuid() != 0 else ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups", "--"]
        self.child = None
        for path in (self.data, self.socket_dir):
            os.makedirs(path, mode=0o700)
            if self.prefix:
                os.chown(path, account.pw_uid, account.pw_gid)
        os.chmod(self.socket_dir, 0o755)
        subprocess.run([*self.prefix, os.path.join(self.bin, "initdb"), "-D", self.data, "-U", "bivouac", "--auth=trust", "--no-sync",
                        "--encoding=UTF8", "--locale=C.UTF-8"], check=True, capture_output=True, cwd="/")
        with open(os.path.join(self.data, "postgresql.auto.conf"), "a") as conf:
            conf.write(f"listen_addresses = ''\nunix_socket_directories = '{self.socket_dir}'\nfsync = off\nfull_page_writes = off\n"
                       "max_connections = 60\nshared_buffers = '32MB'\nlog_min_duration_statement = '2s'\n")
        self.start()

    def start(self):
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen([*self.prefix, os.path.join(self.bin, "postgres"), "-D", self.data], cwd="/", stdout=log, stderr=log,
                                          stdin=subprocess.DEVNULL)
        wait.until(self._answers, 20, what="PostgreSQL")

    def _answers(self):
        assert self.child.poll() is None, open(self.log).read()[-2000:]
        self.connect("postgres").close()
        return True

    def connect(self, database):
        connection = psycopg2.connect(host=self.socket_dir, user="bivouac", dbname=database, connect_timeout=5)
        connection.autocommit = True
        return connection

    def create(self, database):
        connection = self.connect("postgres")
        connection.cursor().execute(f'CREATE DATABASE "{database}"')
        connection.close()

    def kill(self):
        """Like the plug: every connection ends without a word."""
        self.child.send_signal(signal.SIGQUIT)
        self.child.wait(20)

    def stop(self):
        if self.child and self.child.poll() is None:
            self.child.send_signal(signal.SIGINT)
            self.child.wait(20)


class Control:
    """One bivouac-control on its own database of a cluster."""

    def __init__(self, postgres, folder, database=None, **overrides):
        self.postgres, self.folder = postgres, folder
        self.database = database or "b" + secrets.token_hex(4)
        self.program = os.path.join(BUILD, "bin", "bivouac-control")
        self.log_file = os.path.join(folder, f"control-{secrets.token_hex(3)}.log")
        self.port, self.hosts_port, self.admin_port = free_port(), free_port(), free_port()
        self.conf_file = os.path.join(folder, f"control-{self.port}.json")
        self.child = None
        self._files(overrides)
        if database is None:
            postgres.create(self.database)

    def _secret(self, name, text):
        path = os.path.join(self.folder, name)
        if not os.path.exists(path):
            with open(path, "w") as out:
                os.chmod(path, 0o600)
                out.write(text + "\n")
        return path

    def _files(self, overrides):
        self.pki = os.path.join(self.folder, "pki")
        self.authority = pki.Authority(self.pki)
        self.authority.ensure("test")
        self.authority.issue("bivouac-control", f"{self.pki}/bivouac-control.pem", f"{self.pki}/bivouac-control.key")
        pki.make_key(os.path.join(self.folder, "session.key"))
        conf = {
            "log_level": "debug", "public_listen": f"127.0.0.1:{self.port}", "host_listen": f"127.0.0.1:{self.hosts_port}",
            "admin_listen": f"127.0.0.1:{self.admin_port}", "tls_cert": f"{self.pki}/bivouac-control.pem",
            "tls_key": f"{self.pki}/bivouac-control.key", "tls_ca": f"{self.pki}/ca.pem",
            "database_url_file": self._secret(f"url-{self.database}", f"host={self.postgres.socket_dir} user=bivouac dbname={self.database}"),
            "session_kid": "s1", "session_key_file": os.path.join(self.folder, "session.key"),
            "data_keys_file": self._secret("data.keys", "k1 " + secrets.token_hex(32)), "url_scheme": "http", "data_plane_port": 18081,
            **overrides,
        }
        with open(self.conf_file, "w") as out:
            json.dump(conf, out)

    # ---- the program ----

    def run(self, *args, expect=0):
        done = subprocess.run([self.program, *args, "--config", self.conf_file], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)
        assert expect is None or done.returncode == expect, f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert not TROUBLE.search(done.stderr), done.stderr
        return done

    def admin(self, *args):
        return json.loads(self.run("admin", *args, "--json").stdout)

    def migrate(self):
        self.run("migrate")

    def start(self, wait_ready=True):
        with open(self.log_file, "ab") as log:
            self.child = subprocess.Popen([self.program, "serve", "--config", self.conf_file], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        if wait_ready:
            wait.until(self.healthy, 20, what="control")
        return self

    def healthy(self):
        assert self.child.poll() is None, self.log()[-3000:]
        return requests.get(f"http://127.0.0.1:{self.admin_port}/health", timeout=5).status_code == 200

    def stop(self, signum=signal.SIGTERM):
        if self.child and self.child.poll() is None:
            self.child.send_signal(signum)
            self.child.wait(40)
        return self.child.returncode if self.child else None

    def log(self):
        with open(self.log_file, errors="replace") as file:
            return file.read()

    def check(self):
        trouble = TROUBLE.search(self.log())
        assert not trouble, self.log()[max(0, trouble.start() - 500):][:6000]

    def rss(self):
        with open(f"/proc/{self.child.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def metrics(self):
        values = {}
        for line in requests.get(f"http://127.0.0.1:{self.admin_port}/metrics", timeout=5).text.splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                values[name] = float(value)
        return values

    # ---- what tests want ----

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/v1"

    def api(self, key):
        return ApiClient(self.url, key)

    def query(self, sql, *args):
        connection = self.postgres.connect(self.database)
        try:
            cursor = connection.cursor()
            cursor.execute(sql, args)
            return cursor.fetchall() if cursor.description else None
        finally:
            connection.close()

    def user(self, email=None, **options):
        """A user with a key for all of its teams: (key, personal team's slug)."""
        email = email or f"u{secrets.token_hex(4)}@example.org"
        made = self.admin("user", "create", "--email", email)
        return self.key(email, **options), made["team"]

    def key(self, email, **options):
        args = [part for name, value in options.items() for part in ("--" + name.replace("_", "-"), value)]
        return self.admin("key", "create", "--email", email, *args)["key"]

    def register_template(self, **fields):
        path = os.path.join(self.folder, f"manifest-{secrets.token_hex(3)}.json")
        with open(path, "w") as out:
            json.dump({**BASE_TEMPLATE, "name": "Test", **fields}, out)
        return self.admin("template", "register", "--manifest", path)

    def host(self, name=None, **options):
        name = name or "host-" + secrets.token_hex(3)
        self.authority.issue(name, f"{self.pki}/{name}.pem", f"{self.pki}/{name}.key")
        token = self.admin("host-token", "create", "--host", name)["token"]
        return FakeHost(name, self.pki, f"https://127.0.0.1:{self.hosts_port}", token, **{"templates": [BASE_TEMPLATE], **options})

    def wait_hosts(self, count):
        """Until control has seen that many hosts with a recent report."""
        url = f"http://127.0.0.1:{self.admin_port}/health"
        wait.until(lambda: requests.get(url, timeout=5).json()["hosts_fresh"] >= count, 15, what=f"{count} fresh hosts")

    def counters_right(self):
        return self.admin("quota", "check")["wrong"] == []


class Stack:
    """Folder, cluster, one control with template base."""

    def __init__(self, **overrides):
        self.folder = tempfile.mkdtemp(prefix="bivouac-control-")
        os.chmod(self.folder, 0o755)
        self.overrides = overrides
        self.controls = []

    def __enter__(self):
        try:
            self.postgres = PgCluster(self.folder)
            self.control = self.add(**self.overrides)
            self.control.migrate()
            self.control.start()
            self.control.register_template()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def add(self, **options):
        control = Control(self.postgres, self.folder, **options)
        self.controls.append(control)
        return control

    def __exit__(self, *_):
        try:
            for control in self.controls:
                code = control.stop()
                if _[0] is None and control.child:
                    control.check()
                    assert code in (0, None, -signal.SIGKILL), f"control ended with {code}:\n{control.log()[-3000:]}"
        finally:
            if hasattr(self, "postgres"):
                self.postgres.stop()
            shutil.rmtree(self.folder)


def settle(seconds):
    """For what must NOT happen: there is no event to wait for."""
    time.sleep(seconds)
