# SPDX-License-Identifier: Apache-2.0
"""hz20: a create that is said again, at the same time or later, makes one sandbox."""
import concurrent.futures
import threading

import pytest
import requests

from support import wait
from support.control_stack import Stack
from support.fake_host import Fault


@pytest.fixture(scope="module")
def stack():
    with Stack(idempotency_keep_s=3600) as stack, stack.control.host() as host:
        stack.control.wait_hosts(1)
        stack.host = host
        yield stack


@pytest.fixture
def user(stack):
    key, team = stack.control.user()
    api = stack.control.api(key)
    api.team = team
    return api


def create(api, key, body=None, expect=None):
    return api.post("/sandboxes", body or {}, expect=expect or (201, 409, 422, 503, 504), headers={"Idempotency-Key": key})


def test_hz20_same_key_same_answer(stack, user):
    first = create(user, "k1", {"metadata": {"a": "1"}}, 201)
    again = create(user, "k1", {"metadata": {"a": "1"}}, 201)
    assert again.content == first.content and again.headers["Idempotency-Replayed"] == "true" and "Idempotency-Replayed" not in first.headers
    answer = create(user, "k1", {"metadata": {"a": "2"}}, 422)
    assert answer.json()["error"] == "idempotency_mismatch"
    assert len(user.get("/sandboxes").json()["sandboxes"]) == 1
    # the answer stays after the sandbox has gone
    user.delete(f"/sandboxes/{first.json()['sandbox']['id']}")
    assert create(user, "k1", {"metadata": {"a": "1"}}, 201).content == first.content
    # another team's same key is another key
    other = stack.control.api(stack.control.user()[0])
    assert create(other, "k1", {"metadata": {"a": "1"}}, 201).json()["sandbox"]["id"] != first.json()["sandbox"]["id"]


def test_hz20_forty_at_once(stack, user):
    stack.host.script("start", Fault(delay_s=0.5))
    gate = threading.Barrier(40)

    def one(_):
        gate.wait()
        return create(user.__class__(user.url, user.session.headers["Authorization"].split()[1]), "burst")

    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(one, range(40)))
    made = [a for a in answers if a.status_code == 201]
    busy = [a for a in answers if a.status_code == 409]
    assert len(made) + len(busy) == 40 and made, [a.text for a in answers if a.status_code not in (201, 409)][:2]
    assert {a.json()["error"] for a in busy} <= {"idempotency_in_progress"} and all(a.headers["Retry-After"] for a in busy)
    assert len({a.content for a in made}) == 1
    assert len(user.get("/sandboxes").json()["sandboxes"]) == 1
    assert create(user, "burst", expect=201).content == made[0].content
    assert stack.control.counters_right()


def test_hz20_lost_answer(stack, user):
    """The client gives up while the host works: the work goes on, and the retry gets its answer."""
    stack.host.script("start", Fault(delay_s=1.0))
    with pytest.raises(requests.ReadTimeout):
        user.post("/sandboxes", {}, headers={"Idempotency-Key": "lost"}, timeout=0.3)
    assert create(user, "lost", expect=409).json()["error"] == "idempotency_in_progress"
    answer = wait.until(lambda: (lambda a: a if a.status_code == 201 else None)(create(user, "lost")), 10)
    assert [s["id"] for s in user.get("/sandboxes").json()["sandboxes"]] == [answer.json()["sandbox"]["id"]]


def test_without_a_key_a_lost_client_leaves_nothing(stack, user):
    """The server needs a moment to tell a client that has gone from one that only waits: the host works for longer than that."""
    stack.host.script("start", Fault(delay_s=4.0))
    with pytest.raises(requests.ReadTimeout):
        user.post("/sandboxes", {}, timeout=0.3)
    wait.until(lambda: user.get("/sandboxes").json()["sandboxes"] == [], 10)
    gone = lambda: stack.control.query("SELECT state, end_reason, on_host FROM sandboxes s JOIN teams t ON t.id = s.team_id WHERE t.slug = %s", user.team)
    wait.until(lambda: gone() == [("destroyed", "client_gone", False)], 10, what="undone")
    assert user.get("/sandbox_limits").json()["quota"]["usage"]["sandboxes"] == 0


def test_a_failed_create_frees_its_key(stack, user):
    stack.host.script("start", Fault(status=500))
    assert create(user, "again", expect=503).json()["error"] == "start_failed"
    made = create(user, "again", expect=201).json()["sandbox"]
    assert made["state"] == "ready"
    assert stack.control.counters_right()


def test_refusals_do_not_take_the_key(user):
    assert create(user, "v", {"timeout": 0}, 422).json()["error"] == "invalid_request"
    assert create(user, "v", {"timeout": 60}, 201)


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "\u00e4".encode().decode("latin-1"), "tab\there"])
def test_malformed_keys(user, key):
    answer = user.post("/sandboxes", {}, expect=400, headers={"Idempotency-Key": key})
    assert answer.json()["error"] == "bad_request"
    user.post("/sandboxes", {}, expect=201, headers={"Idempotency-Key": "x" * 255})


def test_expired_keys_are_forgotten(stack, user):
    first = create(user, "old", expect=201).json()["sandbox"]["id"]
    stack.control.query("UPDATE idempotency_keys SET expires_at = now() - interval '1 s' WHERE key = 'old'")
    stack.control.query("UPDATE jobs SET run_at = now() WHERE kind = 'idempotency'")
    wait.until(lambda: not stack.control.query("SELECT 1 FROM idempotency_keys WHERE key = 'old'"), 10, what="purge")
    assert create(user, "old", expect=201).json()["sandbox"]["id"] != first
