# SPDX-License-Identifier: Apache-2.0
"""The private instance itself: databases, supervisor, ports, cleaning up."""
import json
import os
import signal
import socket
import subprocess
import sys
import time

import psycopg2
import pytest

from bivdev import leftovers, pki, ports, proc
from bivdev.supervisor_client import SupervisorClient
from support import ROOT, wait


def supervise(tmp_path, services, lifeline=None):
    conf = tmp_path / "services.json"
    conf.write_text(json.dumps({"run_dir": str(tmp_path), "log_cap_bytes": 4096, "services": services}))
    argv = [sys.executable, "-m", "bivdev.supervise", str(conf)] + (["--lifeline", str(lifeline)] if lifeline else [])
    with open(tmp_path / "supervisor.log", "ab") as out:
        child = subprocess.Popen(argv, env={**os.environ, "PYTHONPATH": os.path.join(ROOT, "deploy", "dev")}, stderr=out,
                                 pass_fds=[lifeline] if lifeline else [])
    client = SupervisorClient(str(tmp_path))
    wait.until(client.running, 10)
    return child, client


def service(tmp_path, name, code, **more):
    return {"name": name, "argv": [sys.executable, "-c", code], "log": str(tmp_path / f"{name}.log"), **more}


@pytest.fixture
def ended():
    """Supervisors that a test started end with it."""
    children = []
    yield children
    for child in children:
        child.terminate()
        child.wait(20)


def test_databases_answer(databases):
    with psycopg2.connect(databases.postgres.url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_encoding'), current_user")
        assert cursor.fetchone() == ("UTF8", "bivouac")
    connection.close()
    client = databases.redis.client()
    assert client.xadd("frames:{1}:p", {"t": "stdout", "d": b"\0\xff"}, id="1-0") == b"1-0"
    client.close()


def test_databases_refuse_a_wrong_password(databases):
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(databases.postgres.url.replace(databases.inst.postgres.password, "wrong"))


def test_databases_come_back_after_kill_9(databases):
    databases.redis.client().set("kept", "yes")
    time.sleep(1.2)  # appendfsync everysec
    for daemon in (databases.postgres, databases.redis):
        before = daemon.pid
        daemon.kill()
        daemon.wait_ready()
        assert daemon.pid != before
    assert wait.until(lambda: databases.redis.client().get("kept")) == b"yes"
    assert databases.postgres.query("SELECT 1") == "1"


def test_databases_run_without_privilege(databases):
    for daemon in (databases.postgres, databases.redis):
        with open(f"/proc/{daemon.pid}/status") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        assert status["Uid"].split()[0] != "0"
        assert int(status["CapEff"], 16) == 0
        assert status["NoNewPrivs"] == "1"


def test_supervisor_restarts_with_back_off(tmp_path, ended):
    child, client = supervise(tmp_path, [service(tmp_path, "brief", "raise SystemExit(3)")])
    ended.append(child)
    status = wait.until(lambda: (s := client.services()["brief"])["starts"] >= 3 and s, 10)
    assert status["last_exit"] == 3
    assert status["starts"] < 6, "the pauses between restarts grow"


def test_supervisor_ends_everything_with_its_lifeline(tmp_path, ended):
    reader, writer = os.pipe()
    child, client = supervise(tmp_path, [service(tmp_path, "sleeper", "import time; time.sleep(600)")], reader)
    os.close(reader)
    who = proc.ident(wait.until(lambda: client.services()["sleeper"]["pid"]))
    os.close(writer)
    child.wait(20)
    assert not proc.alive(who)


def test_supervisor_never_ends_grandchildren(tmp_path, ended):
    """A machine outlives its vmhost: only the main process of a service is signalled."""
    code = ("import subprocess, time; p = subprocess.Popen(['sleep', '600'], start_new_session=True); "
            f"open({str(tmp_path / 'pid')!r}, 'w').write(str(p.pid)); time.sleep(600)")
    child, client = supervise(tmp_path, [service(tmp_path, "host", code)])
    ended.append(child)
    pid = wait.until(lambda: int((tmp_path / "pid").read_text() or 0))
    grandchild = proc.ident(pid)
    client.call(cmd="restart", name="host")
    wait.until(lambda: int((tmp_path / "pid").read_text()) != pid)
    assert proc.alive(grandchild)
    second = proc.ident(int((tmp_path / "pid").read_text()))
    proc.send(grandchild, signal.SIGKILL)
    wait.until(lambda: not os.path.exists(f"/proc/{pid}"), what="the orphan is reaped by the supervisor")
    proc.send(second, signal.SIGKILL)


def test_supervisor_after_kill_9_replaces_what_it_finds(tmp_path, ended):
    services = [service(tmp_path, "sleeper", "import time; time.sleep(600)")]
    child, client = supervise(tmp_path, services)
    who = proc.ident(wait.until(lambda: client.services()["sleeper"]["pid"]))
    child.kill()
    child.wait()
    assert proc.alive(who)
    child, client = supervise(tmp_path, services)
    ended.append(child)
    wait.until(lambda: client.services()["sleeper"]["pid"])
    assert not proc.alive(who)


def test_supervisor_caps_logs(tmp_path, ended):
    child, client = supervise(tmp_path, [service(tmp_path, "chatty", "import time\nwhile True:\n print('x' * 99, flush=True); time.sleep(0.001)")])
    ended.append(child)
    wait.until(lambda: (tmp_path / "chatty.log.1").exists())
    assert (tmp_path / "chatty.log").stat().st_size < 1 << 20


def test_supervisor_kills_what_ignores_the_stop_signal(tmp_path, ended):
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open(%r, 'w').close(); time.sleep(600)" % str(tmp_path / "up")
    child, client = supervise(tmp_path, [service(tmp_path, "deaf", code, stop_timeout_s=0.5)])
    ended.append(child)
    wait.until((tmp_path / "up").exists)
    assert client.call(cmd="stop", name="deaf")["ok"]
    assert client.services()["deaf"]["state"] == "stopped"


def test_a_taken_port_is_not_picked():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert not ports.is_free(port)
        assert ports.pick(preferred=port) != port


def test_certificates_verify_and_name_the_host(tmp_path):
    authority = pki.Authority(str(tmp_path))
    authority.ensure("test")
    cert, key = str(tmp_path / "h.pem"), str(tmp_path / "h.key")
    authority.issue("host-1", cert, key)
    assert "OK" in pki.openssl("verify", "-CAfile", authority.cert, "-purpose", "sslserver", cert)
    assert "OK" in pki.openssl("verify", "-CAfile", authority.cert, "-purpose", "sslclient", cert)
    assert "CN = host-1" in pki.openssl("x509", "-in", cert, "-noout", "-subject")
    assert os.stat(key).st_mode & 0o077 == 0


def test_leftovers_of_one_instance_are_found_and_removed(tmp_path):
    ident = os.urandom(4).hex()
    one = leftovers.Leftovers(str(tmp_path), ident)
    name = one.prefix + "0"
    subprocess.run(["ip", "netns", "add", name], check=True)
    child = subprocess.Popen(["setpriv", f"--reuid={one.uids[5]}", f"--regid={one.uids[5]}", "--clear-groups", "--", "sleep", "600"])
    try:
        wait.until(lambda: child.pid in one.machines())
        other = leftovers.Leftovers(str(tmp_path), "ffff" + ident[4:])
        assert other.all() == {}
        gone = one.remove()
        assert gone["namespaces"] == [name] and gone["machines"] == [child.pid]
        assert one.all() == {}
    finally:
        child.kill()
        child.wait()
        subprocess.run(["ip", "netns", "delete", name], capture_output=True)


def bivdev(inst, *words):
    argv = [sys.executable, "-m", "bivdev", "--state", inst.state, "--ident", inst.ident, *words]
    return subprocess.run(argv, env={**os.environ, "PYTHONPATH": os.path.join(ROOT, "deploy", "dev")}, capture_output=True, text=True)


def test_commands_keep_their_own_options(databases):
    inst = databases.inst
    asked = bivdev(inst, "psql", "-A", "-t", "-c", "select 40 + 2")
    assert asked.returncode == 0 and asked.stdout.strip() == "42", asked.stderr
    assert bivdev(inst, "log-path", "redis").stdout.strip() == inst.log("redis")
    assert bivdev(inst, "down", "--bogus").returncode == 2


def test_the_key_is_for_nobody_else(databases):
    assert os.stat(databases.inst.facts_file).st_mode & 0o077 == 0
