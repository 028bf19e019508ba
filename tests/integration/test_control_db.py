# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL that is away, comes back, dies in mid-flight, is slow; migrations; start-up with something missing."""
import concurrent.futures
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest
import requests

from support import ROOT, wait
from support.control_stack import Stack, settle
from support.fake_host import Fault

MIGRATIONS = sorted(os.listdir(os.path.join(ROOT, "migrations")))


@pytest.fixture(scope="module")
def stack():
    with Stack(db_wait_ms=700, db_statement_ms=3000, db_conns=4, db_queue=16) as stack, stack.control.host() as host:
        stack.control.wait_hosts(1)
        stack.host = host
        yield stack


@pytest.fixture
def control(stack):
    return stack.control


@pytest.fixture
def api(control):
    return control.api(control.user()[0])


def test_postgres_away_and_back(stack, control, api):
    """503 with Retry-After while it is away; good again by itself, without a restart; the sandboxes' machines are not touched."""
    pid = control.child.pid
    made = api.post("/sandboxes", {}, expect=201).json()["sandbox"]
    stack.postgres.kill()
    begin = time.monotonic()
    for method, path in (("GET", "/sandboxes"), ("POST", "/sandboxes"), ("GET", f"/sandboxes/{made['id']}"), ("DELETE", f"/sandboxes/{made['id']}"),
                         ("GET", "/sandbox_limits"), ("GET", "/sandbox_templates")):
        answer = api.request(method, path, 503)
        assert answer.json()["error"] == "overloaded" and int(answer.headers["Retry-After"]) > 0
    assert time.monotonic() - begin < 8
    health = requests.get(f"http://127.0.0.1:{control.admin_port}/health", timeout=5)
    assert health.status_code == 503 and health.json()["status"] == "degraded" and health.json()["database"] == "away" and health.json()["database_error"]
    assert requests.get(f"http://127.0.0.1:{control.port}/health", timeout=5).status_code == 503
    assert stack.host.running() == [int(made["id"])]
    stack.postgres.start()
    wait.until(lambda: api.request("GET", "/sandboxes").status_code == 200, 8, what="recovery")
    assert control.child.poll() is None and control.child.pid == pid
    assert api.get(f"/sandboxes/{made['id']}").json()["sandbox"] == made
    api.delete(f"/sandboxes/{made['id']}")
    log = control.log()
    assert "postgresql is away" in log and "postgresql is back" in log
    assert log.count("postgresql is away") < 10, "one line for each reason, not for each attempt"


def test_hz15_postgres_dies_while_creating(stack, control, api):
    """hz15: killed again and again under load: each create is answered, and afterwards counters, rows and machines agree."""
    stop = threading.Event()
    statuses = []

    def load(n):
        own = control.api(api.session.headers["Authorization"].split()[1])
        while not stop.is_set():
            answer = own.post("/sandboxes", {"timeout": 600}, expect=(201, 503, 504, 500, 409))
            statuses.append(answer.status_code)
            if answer.status_code == 201 and n % 2:
                own.delete(f"/sandboxes/{answer.json()['sandbox']['id']}", expect=(204, 503))

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(load, n) for n in range(4)]
        for _ in range(3):
            settle(0.7)
            stack.postgres.kill()
            stack.postgres.start()
        settle(0.7)
        stop.set()
        for future in futures:
            future.result(60)
    assert 201 in statuses
    wait.until(lambda: api.request("GET", "/sandboxes").status_code == 200, 8)
    control.query("UPDATE sandboxes SET lease_until = now() WHERE state = 'creating'")
    agree = lambda: sorted(i for i, in control.query("SELECT id FROM sandboxes WHERE state = 'ready'")) == stack.host.running()
    wait.until(lambda: agree() and not control.query("SELECT 1 FROM sandboxes WHERE state = 'creating'"), 20, what="rows and machines agree")
    wait.until(control.counters_right, 10)
    for sandbox in api.get("/sandboxes?limit=100").json()["sandboxes"]:
        api.delete(f"/sandboxes/{sandbox['id']}")


def test_away_between_start_and_ready(stack, control, api):
    """The row cannot become ready for a while: the create waits for the database and then answers."""
    stack.host.script("start", Fault(delay_s=1.0))
    answers = []
    thread = threading.Thread(target=lambda: answers.append(api.post("/sandboxes", {}, expect=201).json()))
    thread.start()
    wait.until(lambda: control.query("SELECT 1 FROM sandboxes WHERE state = 'creating'"), 5)
    stack.postgres.kill()
    settle(1.5)
    stack.postgres.start()
    thread.join(20)
    other = control.api(api.session.headers["Authorization"].split()[1])
    assert other.get(f"/sandboxes/{answers[0]['sandbox']['id']}").json()["sandbox"] == answers[0]["sandbox"]
    other.delete(f"/sandboxes/{answers[0]['sandbox']['id']}")


class MutingProxy:
    """Between control and PostgreSQL, on a unix socket: lets questions through and keeps answers back, then cuts."""

    def __init__(self, folder, target):
        self.target = target
        self.muted = threading.Event()
        self.pairs = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(os.path.join(folder, ".s.PGSQL.5432"))
        self.listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self.target)
            self.pairs.append((client, server))
            threading.Thread(target=self._pump, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, True), daemon=True).start()

    def _pump(self, source, to, answers):
        try:
            while data := source.recv(65536):
                if not (answers and self.muted.is_set()):
                    to.sendall(data)
        except OSError:
            pass

    def cut(self):
        pairs, self.pairs = self.pairs, []
        for pair in pairs:
            for one in pair:
                one.shutdown(socket.SHUT_RDWR)
                one.close()
        self.muted.clear()

    def close(self):
        self.listener.close()
        self.cut()


def test_hz20_insert_without_an_answer(stack, tmp_path):
    """The row is committed, the answer never comes: 503, then the row fails by itself and its key may be used again."""
    proxy = MutingProxy(str(tmp_path), os.path.join(stack.postgres.socket_dir, ".s.PGSQL.5432"))
    control = stack.add(database=stack.control.database, db_statement_ms=8000)
    path = os.path.join(stack.folder, "url-proxy")
    with open(path, "w") as out:
        os.chmod(path, 0o600)
        out.write(f"host={tmp_path} user=bivouac dbname={control.database}")
    text = open(control.conf_file).read().replace(f"url-{control.database}", "url-proxy")
    open(control.conf_file, "w").write(text)
    control.start()
    api = control.api(control.user()[0])
    api.get("/sandboxes")
    answers = []
    lock = stack.postgres.connect(control.database)  # holds the insert until answers are kept back
    lock.autocommit = False
    lock.cursor().execute("SELECT 1 FROM team_quotas FOR UPDATE")
    thread = threading.Thread(target=lambda: answers.append(api.post("/sandboxes", {}, expect=503, headers={"Idempotency-Key": "unsure"})))
    thread.start()
    wait.until(lambda: control.query("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = %s", control.database), 5)
    proxy.muted.set()
    lock.rollback()
    lock.close()
    wait.until(lambda: control.query("SELECT 1 FROM sandboxes WHERE state = 'creating'"), 5)
    proxy.cut()
    thread.join(10)
    assert answers[0].json()["error"] == "overloaded"
    wait.until(lambda: not control.query("SELECT 1 FROM sandboxes WHERE state = 'creating'"), 8, what="the row to fail")
    assert control.query("SELECT count(*) FROM sandboxes WHERE end_reason = 'database_away'") == [(1,)]
    made = wait.until(lambda: api.post("/sandboxes", {}, expect=(201, 503), headers={"Idempotency-Key": "unsure"}).json().get("sandbox"), 8)
    assert len(api.get("/sandboxes").json()["sandboxes"]) == 1
    api.delete(f"/sandboxes/{made['id']}")
    wait.until(control.counters_right, 5)
    control.stop()
    proxy.close()


def test_slow_postgres_ends_in_503_and_the_queue_is_bounded(stack, control, api):
    locker = stack.postgres.connect(control.database)
    locker.autocommit = False
    locker.cursor().execute("LOCK TABLE api_keys IN ACCESS EXCLUSIVE MODE")
    begin = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        own = [control.api(api.session.headers["Authorization"].split()[1]) for _ in range(40)]
        answers = list(pool.map(lambda one: one.request("GET", "/sandboxes"), own))
    assert {a.status_code for a in answers} == {503} and time.monotonic() - begin < 9
    locker.rollback()
    locker.close()
    wait.until(lambda: api.request("GET", "/sandboxes").status_code == 200, 8)
    control.query("SELECT 1")


def test_stopped_server_process(stack, control, api):
    """A backend that hangs (stopped, not dead) costs one deadline, then a new connection serves."""
    backends = [pid for pid, in control.query("SELECT pid FROM pg_stat_activity WHERE application_name = 'bivouac-control' AND datname = %s",
                                              control.database)]
    for pid in backends:
        os.kill(pid, signal.SIGSTOP)
    try:
        wait.until(lambda: api.request("GET", "/sandboxes").status_code == 200, 15, what="new connections")
    finally:
        for pid in backends:
            os.kill(pid, signal.SIGCONT)


def test_round_trips_of_a_create(stack, control, api):
    """At most three transactions: who calls, the row, ready."""
    api.delete(f"/sandboxes/{api.post('/sandboxes', {}, expect=201).json()['sandbox']['id']}")  # last_used is recorded now
    stack.host.silent = True
    try:
        settle(0.3)
        log = os.path.getsize(stack.postgres.log)
        control.query(f"ALTER DATABASE \"{control.database}\" SET log_statement = 'all'")
        control.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'bivouac-control' AND datname = %s", control.database)
        wait.until(lambda: api.request("GET", "/sandboxes").status_code == 200, 8)
        made = api.post("/sandboxes", {}, expect=201).json()["sandbox"]
        control.query(f"ALTER DATABASE \"{control.database}\" RESET log_statement")
        with open(stack.postgres.log) as file:
            file.seek(log)
            text = file.read()
    finally:
        stack.host.silent = False
    used = [name for name in re.findall(r"execute (\w+):", text) if name in ("keys_lookup", "life_insert", "life_ready", "sandboxes_get", "keys_touch")]
    assert used.count("life_insert") == used.count("life_ready") == 1 and used.count("keys_lookup") == 2, used
    api.delete(f"/sandboxes/{made['id']}")


# ---- migrations ----

def test_migrate_from_nothing_twice_and_by_two(stack):
    control = stack.add()
    done = control.run("migrate")
    assert [line.split()[1] for line in done.stdout.splitlines() if line.startswith("applied")] == MIGRATIONS
    assert "(0 new)" in control.run("migrate").stdout
    assert [v for v, in control.query("SELECT name FROM schema_migrations ORDER BY version")] == MIGRATIONS
    second = stack.add()
    programs = [subprocess.Popen([second.program, "migrate", "--config", second.conf_file], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    outputs = [p.communicate(timeout=60)[0] for p in programs]
    assert all(p.returncode == 0 for p in programs), outputs
    assert sum(output.count("applied ") for output in outputs) == len(MIGRATIONS)
    # every statement is prepared by a connection before it is used
    assert second.admin("host", "list") == {"hosts": []}


def test_changed_file_is_refused(stack):
    control = stack.add()
    control.migrate()
    control.query("UPDATE schema_migrations SET sha256 = repeat('0', 64) WHERE version = 2")
    assert re.search(r"0002_\w+\.sql was changed after it was applied", control.run("migrate", expect=1).stderr)


def test_bad_migrations(stack, tmp_path):
    control = stack.add()
    for name in MIGRATIONS:
        shutil.copy(os.path.join(ROOT, "migrations", name), tmp_path)
    bad = tmp_path / "9999_broken.sql"
    bad.write_text("CREATE TABLE half_done (x int);\nSELECT nonsense;\n")
    done = control.run("migrate", "--dir", str(tmp_path), expect=1)
    assert "9999_broken.sql (nothing of it was applied)" in done.stderr and "nonsense" in done.stderr
    assert control.query("SELECT to_regclass('half_done')") == [(None,)]
    assert control.query("SELECT max(version) FROM schema_migrations") == [(int(MIGRATIONS[-1][:4]),)]
    bad.write_text("CREATE TABLE done (x int);\n")
    control.run("migrate", "--dir", str(tmp_path))
    # an older program must not run behind a newer database's back
    assert "does not know" in control.run("migrate", expect=1).stderr
    for name, words in (("x.sql", "NNNN_what.sql"), ("0001_twice.sql", "same number")):
        (tmp_path / name).write_text("SELECT 1;")
        assert words in control.run("migrate", "--dir", str(tmp_path), expect=1).stderr
        (tmp_path / name).unlink()
    assert "folder" in control.run("migrate", "--dir", "/nonexistent", expect=1).stderr


def test_serve_before_migrate_recovers(stack):
    control = stack.add()
    control.start(wait_ready=False)
    wait.until(lambda: "run 'bivouac-control migrate'" in control.log(), 10)
    assert control.api("bvk_" + "a" * 12 + "_" + "b" * 40).request("GET", "/sandboxes").status_code == 503
    assert "migrate" in control.run("admin", "host", "list", expect=1).stderr
    control.migrate()
    wait.until(control.healthy, 10, what="recovery without a restart")
    control.stop()


def test_old_schema_is_refused(stack):
    control = stack.add()
    control.migrate()
    control.query("DELETE FROM schema_migrations WHERE version = (SELECT max(version) FROM schema_migrations)")
    assert "this program needs" in control.run("admin", "host", "list", expect=1).stderr


# ---- start-up ----

def test_start_without_postgres_waits(stack, control):
    late = stack.add()
    late.migrate()
    stack.postgres.kill()
    try:
        late.start(wait_ready=False)
        wait.until(lambda: "postgresql is away" in late.log(), 10)
        assert late.child.poll() is None
    finally:
        stack.postgres.start()
    wait.until(late.healthy, 10)
    late.stop()
    wait.until(control.healthy, 10)
    done = late.run("migrate")
    assert "(0 new)" in done.stdout


@pytest.mark.parametrize("change,words", [
    ({"public_listen": "{taken}"}, "public_listen"),
    ({"host_listen": "{taken}"}, "host_listen"),
    ({"admin_listen": "{taken}"}, "admin_listen"),
    ({"tls_cert": "/nonexistent"}, "tls_cert"),
    ({"session_key_file": "/nonexistent"}, "session_key_file"),
    ({"data_keys_file": "/nonexistent"}, "data_keys_file"),
    ({"database_url_file": "/nonexistent"}, "database_url_file"),
    ({"unknown_key": 1}, "unknown_key"),
    ({"db_conns": 0}, "db_conns"),
    ({"public_tls_cert": "/x"}, "public_tls_key"),
    ({"url_scheme": "ftp"}, "url_scheme"),
    ({"allowed_cpus": "1 x"}, "allowed_cpus"),
    ({"default_timeout_s": 90000}, "default_timeout_s"),
    ({"log_level": "loud"}, "log_level"),
])
def test_start_says_what_is_wrong(stack, control, change, words):
    change = {k: v.format(taken=f"127.0.0.1:{control.port}") if isinstance(v, str) else v for k, v in change.items()}
    broken = stack.add(database=control.database, **change)
    done = broken.run("serve", expect=1)
    assert words in done.stderr, done.stderr


@pytest.mark.parametrize("url,words", [
    ("postgresql://u:secretpw@db.example.org/x", "IP address"),
    ("postgresql://u:secretpw@127.0.0.1:99999/x", "port"),
    ("postgresql://u:secretpw@127.0.0.1/", "name"),
    ("nonsense secretpw", "form"),
    ("postgresql://u:secretpw@127.0.0.1/x?options=-cfoo", "options"),
])
def test_database_urls(stack, url, words):
    broken = stack.add()
    path = os.path.join(stack.folder, "bad-url")
    with open(path, "w") as out:
        os.chmod(path, 0o600)
        out.write(url)
    conf = open(broken.conf_file).read().replace(f"url-{broken.database}", "bad-url")
    open(broken.conf_file, "w").write(conf)
    done = broken.run("migrate", expect=1)
    assert words in done.stderr and "secretpw" not in done.stderr + done.stdout


def test_check_config(stack):
    good = stack.add()
    assert "is good" in good.run("serve", "--check-config").stdout
    bad = stack.add(domain="x", url_scheme="gopher")
    assert "url_scheme" in bad.run("serve", "--check-config", expect=1).stderr
    docs = good.run("serve", "--config-docs").stdout
    assert "data_keys_file" in docs and "deadline_grace_ms" in docs


def test_listens_on_several_addresses(stack):
    control = stack.add()
    control.migrate()
    text = open(control.conf_file).read().replace(f'"127.0.0.1:{control.port}"', f'"127.0.0.1:{control.port} [::1]:{control.port}"')
    open(control.conf_file, "w").write(text)
    control.start()
    for host in ("127.0.0.1", "[::1]"):
        assert requests.get(f"http://{host}:{control.port}/health", timeout=5).json()["status"] == "ok"
    control.stop()


def test_public_tls(stack):
    control = stack.add()
    control.authority.issue("api", f"{control.pki}/api.pem", f"{control.pki}/api.key")
    with_tls = stack.add(public_tls_cert=f"{control.pki}/api.pem", public_tls_key=f"{control.pki}/api.key")
    with_tls.migrate()
    with_tls.start()
    url = f"https://127.0.0.1:{with_tls.port}"
    assert requests.get(url + "/health", timeout=5, verify=f"{control.pki}/ca.pem").json()["status"] == "ok"
    assert requests.get(url + "/v1/sandboxes", timeout=5, verify=f"{control.pki}/ca.pem").status_code == 401
    with_tls.stop()


def test_stops_with_work_under_way(stack, control, api):
    """SIGTERM: the create that runs is finished and answered, then the daemon ends by itself."""
    stack.host.script("start", Fault(delay_s=1.0))
    answers = []
    thread = threading.Thread(target=lambda: answers.append(api.post("/sandboxes", {}, expect=201).json()["sandbox"]))
    thread.start()
    wait.until(lambda: control.query("SELECT 1 FROM sandboxes WHERE state = 'creating'"), 5)
    assert control.stop() == 0
    thread.join(10)
    control.start()
    other = control.api(api.session.headers["Authorization"].split()[1])
    assert other.get(f"/sandboxes/{answers[0]['id']}").json()["sandbox"] == answers[0]
    other.delete(f"/sandboxes/{answers[0]['id']}")


def test_idle_memory_and_metrics(control, api):
    api.get("/sandboxes")
    metrics = control.metrics()
    assert metrics["bivouac_control_db_connections"] >= 1 and metrics["bivouac_control_hosts_fresh"] == 1
    assert any(name.startswith("bivouac_control_create_seconds") for name in metrics)
