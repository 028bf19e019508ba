# SPDX-License-Identifier: Apache-2.0
"""Hosts that are slow, full, failing, vanishing, draining, lying; and that nothing leaks whatever they do."""
import concurrent.futures
import random
import threading
import time

import pytest
import requests

from support import wait
from support.control_stack import BASE_TEMPLATE, Stack, settle
from support.fake_host import Fault


@pytest.fixture(scope="module")
def stack():
    with Stack(heartbeat_fresh_ms=6000, missing_grace_ms=1200, deadline_grace_ms=1000, host_start_ms=3000, host_call_ms=1500,
               create_ms=6000) as stack:
        yield stack


@pytest.fixture
def control(stack):
    return stack.control


@pytest.fixture
def api(control):
    key, team = control.user()
    api = control.api(key)
    api.team = team
    return api


@pytest.fixture
def host(control):
    with control.host() as host:
        control.wait_hosts(1)
        yield host
    forget_hosts(control)


def forget_hosts(control):
    """As if their last reports were long ago: the next test begins without any fresh host."""
    control.query("UPDATE hosts SET heartbeat_at = now() - interval '1 hour'")
    wait.until(lambda: requests.get(f"http://127.0.0.1:{control.admin_port}/health", timeout=5).json()["hosts_fresh"] == 0, 10)


def row(control, sandbox_id):
    return control.query("SELECT state, end_reason, on_host FROM sandboxes WHERE id = %s", sandbox_id)[0]


def create(api, expect=201, **body):
    return api.post("/sandboxes", body, expect=expect).json()


# ---- registration and identity ----

def test_first_report_registers(control, host):
    listed = {h["name"]: h for h in control.admin("host", "list")["hosts"]}[host.name]
    assert listed["api_url"] == host.url and listed["capacity"]["vms"] == 100 and listed["templates"][0]["slug"] == "base"
    assert host.last_reply["host"] == {"name": host.name, "drain": False} and abs(host.last_reply["now_ms"] / 1000 - time.time()) < 5


def test_who_may_report(control, host):
    good = host.report()
    assert host.beat(token="bvh_" + "a" * 12 + "_" + "b" * 40).status_code == 401
    assert host.beat(token="x").status_code == 401
    # a token that was made for another name
    other = control.admin("host-token", "create", "--host", "somebody-else")["token"]
    assert host.beat(token=other).status_code == 401
    # no certificate, or one of another authority: no connection at all
    with pytest.raises(requests.RequestException):
        requests.post(host.control + "/internal/v1/heartbeat", json=good, timeout=5, verify=host.ca,
                      headers={"Authorization": "Bearer " + host.token})
    control.admin("host-token", "revoke", host.token.split("_")[1])
    assert host.beat().status_code == 401


def test_malformed_reports(host):
    good = host.report()
    for field, value in (("host_api_url", "http://127.0.0.1:1"), ("host_api_url", "https://name.example:1"), ("host_api_url", "https://127.0.0.1:1/x"),
                         ("capacity", None), ("vms", {}), ("vms", [{"id": 1}]), ("templates", "x")):
        answer = host.beat({**good, field: value})
        assert answer.status_code == 422 and answer.json()["details"]["field"].startswith(field), answer.text
    assert host.beat({**good, "vms": [{"id": "not-a-number", "generation": 1, "state": "running"}]}).status_code == 200
    assert host.session.get(host.control + "/v1/sandboxes", timeout=5).status_code == 404


# ---- placement ----

def test_no_host_no_capacity(control, api):
    answer = api.post("/sandboxes", {}, expect=503)
    assert answer.json()["error"] == "no_capacity" and int(answer.headers["Retry-After"]) > 0
    assert control.counters_right()


def test_draining_hosts_get_nothing(control, api, host):
    control.admin("host", "drain", host.name)
    assert create(api, 503)["error"] == "no_capacity"
    wait.until(lambda: host.last_reply["host"]["drain"] is True, 5)
    control.admin("host", "undrain", host.name)
    api.delete(f"/sandboxes/{create(api)['sandbox']['id']}")


def test_full_disk_refuses(control, api, host):
    """hz18: above 95 % of the host's disk a create is refused."""
    host.disk = {"bytes_total": 1000, "bytes_free": 40}
    wait.until(lambda: create(api, (201, 503)).get("error") == "no_capacity", 5)
    host.disk = {"bytes_total": 1000, "bytes_free": 60}
    wait.until(lambda: create(api, (201, 503)).get("sandbox"), 5)


def test_room_is_never_given_twice(control, api):
    with control.host(vcpus=6) as host:
        control.wait_hosts(1)
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(lambda _: control.api(api.session.headers["Authorization"].split()[1]).post("/sandboxes", {}, expect=(201, 503)), range(12)))
        assert sorted(a.status_code for a in answers) == [201] * 3 + [503] * 9
        assert len(host.running()) == 3 and control.counters_right()
        for answer in answers:
            if answer.status_code == 201:
                api.delete(f"/sandboxes/{answer.json()['sandbox']['id']}")
        made = create(api)["sandbox"]
        api.delete(f"/sandboxes/{made['id']}")
        assert control.counters_right()
    forget_hosts(control)


def test_least_loaded_host_first(control, api, host):
    with control.host() as second:
        control.wait_hosts(2)
        made = [create(api)["sandbox"]["id"] for _ in range(6)]
        assert len(host.running()) == len(second.running()) == 3
        for sandbox_id in made:
            api.delete(f"/sandboxes/{sandbox_id}")


# ---- faults while starting ----

def test_full_host_leads_to_another(control, api, host):
    with control.host() as second:
        control.wait_hosts(2)
        for one in (host, second):
            one.always["start"] = None
        host.always["start"] = Fault(status=503, code="no_capacity")
        ids = [create(api)["sandbox"]["id"] for _ in range(4)]
        assert len(second.running()) == 4 and not host.running()
        assert {vm.generation for vm in second.vms.values()} <= {1, 2}
        for sandbox_id in ids:
            api.delete(f"/sandboxes/{sandbox_id}")
        assert control.counters_right()


@pytest.mark.parametrize("fault,status,code", [
    (Fault(status=500), 503, "start_failed"),
    (Fault(status=503, code="no_capacity"), 503, "no_capacity"),
    (Fault(status=404, code="template_not_found"), 503, "no_capacity"),
    (Fault(status=503, code="template_not_ready"), 503, "no_capacity"),
    (Fault(status=422, code="size_not_available"), 503, "no_capacity"),
    (Fault(status=507, code="not_enough_space"), 503, "no_capacity"),
    (Fault(status=409, code="stale_generation"), 503, "start_failed"),
    (Fault(status=200, body={"vm": "nonsense"}), 503, "start_failed"),
    (Fault(status=200, body={"vm": {"id": "1", "generation": 99, "state": "running"}}), 503, "start_failed"),
    (Fault(delay_s=10), 504, "timeout"),
    (Fault(cut="before"), 503, "no_capacity"),
    (Fault(cut="after"), 503, "no_capacity"),
])
def test_failed_start_leaves_nothing(control, api, host, fault, status, code):
    host.always["start"] = fault
    begin = time.monotonic()
    assert create(api, status)["error"] == code
    assert time.monotonic() - begin < 8
    host.always["start"] = None
    assert api.get("/sandboxes").json()["sandboxes"] == []
    assert api.get("/sandbox_limits").json()["quota"]["usage"] == {"sandboxes": 0, "vcpus": 0, "memory_mb": 0}
    failed = api.get("/sandboxes?query[state][]=failed").json()["sandboxes"]
    assert len(failed) == 1 and failed[0]["end_reason"] and api.get(f"/sandboxes/{failed[0]['id']}").json()["sandbox"] == failed[0]
    wait.until(lambda: host.running() == [] and row(control, failed[0]["id"])[2] is False and control.counters_right(), 15,
               what="everything undone")


def test_one_cut_connection_is_survived(control, api, host):
    """The same start is said again; the host finds what the first one began."""
    host.script("start", Fault(cut="after"))
    made = create(api)["sandbox"]
    assert host.running() == [int(made["id"])]
    api.delete(f"/sandboxes/{made['id']}")


def test_delete_while_creating(control, api, host):
    host.script("start", Fault(delay_s=1))
    answers = []
    thread = threading.Thread(target=lambda: answers.append(create(api, (201, 409))))
    thread.start()
    other = control.api(api.session.headers["Authorization"].split()[1])
    found = wait.until(lambda: other.get("/sandboxes?query[state][]=creating").json()["sandboxes"], 5)
    other.delete(f"/sandboxes/{found[0]['id']}")
    thread.join()
    assert answers[0]["error"] == "state_conflict"
    wait.until(lambda: not host.running() and control.counters_right(), 5)


# ---- reports against rows ----

@pytest.mark.parametrize("reason,state", [("timeout", "destroyed"), ("guest_shutdown", "destroyed"), ("qemu_died", "failed"),
                                          ("guest_panic", "failed"), ("something_new", "failed")])
def test_machines_that_end_by_themselves(control, api, host, reason, state):
    made = create(api)["sandbox"]
    host.end(made["id"], reason)
    wait.until(lambda: row(control, made["id"]) == (state, reason if reason != "something_new" else "failed", False), 5)
    wait.until(lambda: made["id"] not in host.vms, 5, what="the acknowledgement")
    assert control.counters_right()
    api.get(f"/sandboxes/{made['id']}", expect=404 if state == "destroyed" else 200)


def test_hz16_deadline_while_control_is_away(stack, api, control, host):
    """hz16: the host ends it on time and reports it later."""
    made = create(api, timeout=2)["sandbox"]
    control.stop()
    wait.until(lambda: not host.running(), 5)
    control.start()
    wait.until(lambda: row(control, made["id"]) == ("destroyed", "timeout", False), 5)


def test_deadline_of_a_silent_host(control, api, host):
    made = create(api, timeout=2)["sandbox"]
    host.silent = True
    host.keeps_deadlines = False
    wait.until(lambda: row(control, made["id"])[:2] == ("destroyed", "timeout"), 10)
    wait.until(lambda: not host.running(), 5, what="DELETE to the host")


def test_lost_machine_fails_after_the_grace(control, api, host):
    made = create(api)["sandbox"]
    host.lose(made["id"])
    settle(0.6)
    assert row(control, made["id"])[0] == "ready"
    wait.until(lambda: row(control, made["id"]) == ("failed", "lost", False), 5)
    assert control.counters_right()


def test_a_gap_in_reports_is_forgiven(control, api, host):
    made = create(api)["sandbox"]
    vm = host.vms.pop(made["id"])
    settle(0.7)
    host.vms[made["id"]] = vm
    settle(1.5)
    assert row(control, made["id"])[0] == "ready"
    assert control.query("SELECT missing_since FROM sandboxes WHERE id = %s", made["id"]) == [(None,)]
    api.delete(f"/sandboxes/{made['id']}")


def test_machines_that_nobody_wants_are_ended(control, api, host):
    with host.lock:
        host.do_start("987654321", 3, {"generation": 3, "deadline_ms": 2 ** 41, "template": {"slug": "base", "version": "1"}, "cpu_count": 1, "memory_mb": 512})
    wait.until(lambda: not host.running(), 5)
    made = create(api)["sandbox"]
    # the same sandbox on a second host
    with control.host() as second:
        control.wait_hosts(2)
        with second.lock:
            second.do_start(made["id"], 1, host.vms[made["id"]].spec)
        wait.until(lambda: not second.running(), 5)
        assert host.running() == [int(made["id"])]
    api.delete(f"/sandboxes/{made['id']}")


def test_delete_with_the_host_away(control, api, host):
    """The sandbox has ended for its user at once; its machine ends when the host is back."""
    made = create(api)["sandbox"]
    host.always["delete"] = Fault(cut="before")
    api.delete(f"/sandboxes/{made['id']}")
    api.get(f"/sandboxes/{made['id']}", expect=404)
    assert host.running() and row(control, made["id"])[2] is True and control.counters_right()
    host.always["delete"] = None
    wait.until(lambda: not host.running() and row(control, made["id"])[2] is False, 10)
    assert control.counters_right()


def test_deadline_that_the_host_missed_is_told_again(control, api, host):
    made = create(api)["sandbox"]
    host.always["deadline"] = Fault(status=500)
    answer = api.post(f"/sandboxes/{made['id']}/timeout", {"timeout": 5000}, expect=503)
    assert answer.json()["error"] == "host_unreachable"
    host.always["deadline"] = None
    wait.until(lambda: abs(host.vms[made["id"]].deadline_ms / 1000 - time.time() - 5000) < 20, 5)
    api.delete(f"/sandboxes/{made['id']}")


def test_hz19_lease_of_a_dead_control_ends(stack, api, control, host):
    """hz19: control dies while it creates: the lease ends, the machine too, the key may be used again."""
    host.script("start", Fault(delay_s=2))
    thread = threading.Thread(target=lambda: pytest.raises(requests.RequestException, api.post, "/sandboxes", {}, headers={"Idempotency-Key": "dead"}))
    thread.start()
    wait.until(lambda: control.query("SELECT 1 FROM sandboxes WHERE state = 'creating'"), 5)
    control.stop(9)
    thread.join()
    (sandbox_id,), = control.query("SELECT id FROM sandboxes WHERE state = 'creating'")
    control.start()
    settle(1)
    assert row(control, sandbox_id)[0] == "creating"
    control.query("UPDATE sandboxes SET lease_until = now() WHERE id = %s", sandbox_id)
    wait.until(lambda: row(control, sandbox_id) == ("failed", "lease_expired", False), 10)
    wait.until(lambda: not host.running(), 5)
    assert control.counters_right()
    api.delete(f"/sandboxes/{create_with_key(api)}")


def create_with_key(api):
    return api.post("/sandboxes", {}, expect=201, headers={"Idempotency-Key": "dead"}).json()["sandbox"]["id"]


def test_two_controls_share_the_work(stack, api, host):
    """A second replica on the same database: reports come to the first one, requests to both."""
    control = stack.control
    second = stack.add(database=control.database)
    second.start()
    second.wait_hosts(1)
    try:
        other = second.api(api.session.headers["Authorization"].split()[1])
        made = other.post("/sandboxes", {}, expect=201).json()["sandbox"]
        assert api.get(f"/sandboxes/{made['id']}").json()["sandbox"] == made
        api.delete(f"/sandboxes/{made['id']}")
        other.get(f"/sandboxes/{made['id']}", expect=404)
        assert control.query("SELECT count(*) FROM jobs") == [(3,)]
        assert control.counters_right()
    finally:
        assert second.stop() == 0


def test_events_tell_the_life(control, api, host):
    made = create(api)["sandbox"]
    api.delete(f"/sandboxes/{made['id']}", headers={"X-Request-Id": "del-1"})
    events = control.query("SELECT kind, actor, request_id, data->>'from', data->>'reason' FROM events WHERE sandbox_id = %s ORDER BY id", made["id"])
    assert [e[0] for e in events] == ["sandbox.creating", "sandbox.ready", "sandbox.destroyed"]
    assert all(e[1].startswith("key:") for e in events) and events[2][2:] == ("del-1", "ready", "killed")


@pytest.mark.parametrize("seed", [1, 2])
def test_hz20_counters_after_random_failures(control, host, seed):
    """hz19, hz20: after many random creates, kills and faults the counters are what the rows add up to, and nothing is stuck."""
    rng = random.Random(seed)
    made = [control.user() for _ in range(3)]
    users, teams = [control.api(key) for key, _ in made], [team for _, team in made]
    with control.host(vms=20) as second:
        control.wait_hosts(2)

        def chance(_):
            return rng.choices([None, Fault(status=500), Fault(status=503, code="no_capacity"), Fault(cut="before"), Fault(cut="after"),
                                Fault(delay_s=0.2)], [70, 8, 8, 5, 5, 4])[0]

        for one in (host, second):
            one.always = {"start": chance, "delete": chance, "deadline": chance}
        alive = []

        def client(n):
            return control.api(users[n].session.headers["Authorization"].split()[1])

        def step(n):
            own = client(n % 3)
            for _ in range(170):
                what = rng.random()
                if what < 0.5 or not alive:
                    answer = own.post("/sandboxes", {"timeout": rng.choice([2, 600])}, expect=(201, 503, 504),
                                      headers={"Idempotency-Key": f"{n}-{rng.random()}"} if rng.random() < 0.5 else {})
                    if answer.status_code == 201:
                        alive.append((n % 3, answer.json()["sandbox"]["id"]))
                    continue
                owner, sandbox_id = alive[rng.randrange(len(alive))]
                if what < 0.75:
                    client(owner).delete(f"/sandboxes/{sandbox_id}", expect=204)
                elif what < 0.9:
                    client(owner).post(f"/sandboxes/{sandbox_id}/timeout", {"timeout": 600}, expect=(200, 404, 409, 503))
                else:
                    for one in (host, second):
                        if int(sandbox_id) in one.running():
                            one.end(sandbox_id, rng.choice(["qemu_died", "guest_shutdown"]))

        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            list(pool.map(step, range(6)))
        for one in (host, second):
            one.always = {}
        for api in users:
            for sandbox in api.get("/sandboxes?limit=100").json()["sandboxes"]:
                api.delete(f"/sandboxes/{sandbox['id']}")
        left = ("SELECT s.id, s.state, s.end_reason, s.on_host FROM sandboxes s JOIN teams t ON t.id = s.team_id"
                " WHERE t.slug = ANY (%s) AND (s.state NOT IN ('failed', 'destroyed') OR s.on_host)")
        try:
            wait.until(lambda: control.query(left, teams) == [], 20)
        except AssertionError:
            raise AssertionError(f"left: {control.query(left, teams)}") from None
        wait.until(lambda: not host.running() and not second.running(), 10)
        assert control.counters_right()
        used = control.query("SELECT sum(used_sandboxes), sum(used_vcpus), sum(used_memory_mb) FROM team_quotas q"
                             " JOIN teams t ON t.id = q.team_id WHERE t.slug = ANY (%s)", teams)
        assert used == [(0, 0, 0)]
        assert control.query("SELECT count(*) FROM idempotency_keys WHERE answer_box IS NULL") == [(0,)]
