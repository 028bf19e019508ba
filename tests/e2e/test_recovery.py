# SPDX-License-Identifier: Apache-2.0
"""Hazards 15, 16, 19: kill -9 of any part. Sandboxes go on, deadlines fire, nothing is left behind."""
import os
import threading
import time

import pytest

from bivdev import proc
from support import wait

PARTS = ["gateway", "vmhost", "control", "redis", "postgres"]


@pytest.mark.parametrize("name", PARTS)
def test_hz15_a_running_sandbox_goes_on(api, cluster, sandbox, name):
    sandbox.sh("echo kept >/workspace/kept; (sleep 1000 &) ; echo $$ >/tmp/pid")
    machines = cluster.vmhost.machines()
    cluster.daemon(name).kill()
    cluster.daemon(name).wait_ready()
    wait.until(lambda: sandbox.sh("cat /workspace/kept; pgrep -c sleep").startswith("kept"), 30, 0.3, what="the sandbox answers again")
    assert cluster.vmhost.machines() == machines, "the same machines as before"
    wait.until(lambda: sandbox.get()["state"] == "ready", 20)


def test_hz15_a_new_sandbox_after_each_kill(api, cluster):
    for name in PARTS:
        cluster.daemon(name).kill()
        cluster.daemon(name).wait_ready()
        sandbox = wait.until(lambda: created(api), 40, 0.3, what=f"a create after the end of {name}")
        assert sandbox.sh("echo ok") == "ok\n"
        sandbox.delete()


def created(api):
    answer = api.request("POST", "/sandboxes", json={"template": "base", "timeout": 300})
    if answer.status_code != 201:
        return None
    from support.client import Sandbox
    made = answer.json()
    return Sandbox(api, made["sandbox"], made["session"])


def test_hz15_deadline_fires_while_vmhost_was_down(api, cluster):
    sandbox = api.create_sandbox(timeout=6)
    before = set(cluster.vmhost.machines())
    cluster.vmhost.stop()
    assert set(cluster.vmhost.machines()) == before, "machines outlive their vmhost"
    time.sleep(7)
    cluster.vmhost.start()
    cluster.vmhost.wait_ready()
    wait.until(lambda: len(cluster.vmhost.machines()) == len(before) - 1, 20, what="the late deadline")
    wait.until(lambda: api.request("GET", f"/sandboxes/{sandbox.id}").status_code == 404, 20)


def test_hz16_deadline_fires_while_control_is_away(api, cluster):
    sandbox = api.create_sandbox(timeout=5)
    before = len(cluster.vmhost.machines())
    cluster.control.stop()
    try:
        wait.until(lambda: len(cluster.vmhost.machines()) == before - 1, 20, what="the host ends it by itself")
    finally:
        cluster.control.start()
        cluster.control.wait_ready()
    wait.until(lambda: api.request("GET", f"/sandboxes/{sandbox.id}").status_code == 404, 20, what="control hears of it later")


def test_hz15_delete_while_vmhost_is_down(api, cluster):
    sandbox = api.create_sandbox()
    before = len(cluster.vmhost.machines())
    cluster.vmhost.stop()
    answer = api.request("DELETE", f"/sandboxes/{sandbox.id}")
    cluster.vmhost.start()
    cluster.vmhost.wait_ready()
    assert answer.status_code in (204, 503, 504)
    wait.until(lambda: api.request("DELETE", f"/sandboxes/{sandbox.id}").status_code == 204, 30)
    wait.until(lambda: len(cluster.vmhost.machines()) == before - 1, 30, what="the machine follows the wish")


def test_hz15_a_machine_that_dies_is_noticed(api, cluster, sandbox):
    machine = newest_machine(cluster)
    os.kill(machine, 9)
    wait.until(lambda: api.request("GET", f"/sandboxes/{sandbox.id}").json().get("sandbox", {}).get("state") != "ready", 20)
    assert sandbox.data.request("GET", "/process").status_code in (404, 409, 503)


def newest_machine(cluster):
    return max(cluster.vmhost.machines(), key=lambda pid: proc.start_time(pid) or 0)


def test_hz15_kills_during_creates_leave_nothing(api, cluster):
    """Creates and deletes from four clients while every part is killed in turn; 60 s later reality equals the books."""
    stop = threading.Event()
    answers = []

    def churn():
        client = cluster.api(timeout_s=150)
        while not stop.is_set():
            try:
                answer = client.request("POST", "/sandboxes", json={"template": "base", "timeout": 120})
                answers.append(answer.status_code)
                if answer.status_code == 201:
                    client.request("DELETE", f"/sandboxes/{answer.json()['sandbox']['id']}")
            except OSError:
                time.sleep(0.2)

    threads = [threading.Thread(target=churn) for _ in range(4)]
    for thread in threads:
        thread.start()
    for name in PARTS * 2:
        time.sleep(1.5)
        cluster.daemon(name).kill()
        cluster.daemon(name).wait_ready(90)
    stop.set()
    for thread in threads:
        thread.join(200)
        assert not thread.is_alive(), "a request hangs"
    assert 201 in answers
    for one in api.get("/sandboxes?limit=100").json()["sandboxes"]:
        api.request("DELETE", f"/sandboxes/{one['id']}")
    assert_clean(api, cluster)


def assert_clean(api, cluster):
    def clean():
        assert api.get("/sandboxes?limit=100").json()["sandboxes"] == []
        assert cluster.vmhost.machines() == []
        stuck = cluster.postgres.query("SELECT count(*) FROM sandboxes WHERE state NOT IN ('destroyed', 'failed')")
        assert stuck == "0", f"{stuck} rows in a state that should have ended"
        return True
    wait.until(clean, 75, 0.5, what="nothing is left")


@pytest.mark.parametrize("name", ["postgres", "redis"])
def test_a_database_that_is_away_is_said_and_survived(api, cluster, name):
    """No crash, no hang: an answer that says what is wrong, and recovery without a restart."""
    daemon = cluster.daemon("control" if name == "postgres" else "gateway")
    pid = daemon.pid
    with api.create_sandbox() as sandbox:
        cluster.daemon(name).stop()
        try:
            if name == "postgres":
                answer = api.request("GET", "/sandboxes", timeout=60)
                assert answer.status_code in (500, 503), answer.text
                assert answer.json()["error"]
            else:
                assert sandbox.data.request("GET", "/files/exists?path=/workspace").status_code == 200, "files do not need Redis"
        finally:
            cluster.daemon(name).start()
            cluster.daemon(name).wait_ready()
        wait.until(lambda: api.request("GET", "/sandboxes").status_code == 200, 20)
        wait.until(lambda: sandbox.sh("echo back") == "back\n", 20)
    assert daemon.pid == pid, "it was restarted"
