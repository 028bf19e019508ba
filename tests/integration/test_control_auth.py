# SPDX-License-Identifier: Apache-2.0
"""Who may do what: keys, scopes, teams, and that another team's object is not there."""
import time

import pytest

from support import wait
from support.control_stack import Stack


@pytest.fixture(scope="module")
def control():
    with Stack() as stack, stack.control.host():
        stack.control.wait_hosts(1)
        yield stack.control


def test_credentials(control):
    key, _ = control.user()
    assert control.api(key).get("/sandboxes").json() == {"sandboxes": []}
    bare = control.api(None)
    answer = bare.get("/sandboxes", expect=401)
    assert answer.json()["error"] == "unauthorized" and "WWW-Authenticate" in answer.headers
    assert bare.get("/sandboxes", headers={"X-API-Key": key}).status_code == 200
    assert bare.get("/sandboxes", headers={"Authorization": "bearer " + key}).status_code == 200
    prefix, key_id, secret = key.split("_")
    for bad in ("", "x", key[:-1], key + "a", key.upper(), f"bvh_{key_id}_{secret}", f"bvk_{key_id}_{secret[::-1]}",
                f"bvk_{'a' * 12}_{secret}", f"bvk_{key_id}", "bvk__", f"bvk_{key_id}_{secret} "):
        bare.get("/sandboxes", expect=(401, 200) if bad.endswith(" ") else 401, headers={"Authorization": "Bearer " + bad})
        bare.get("/sandboxes", expect=(401, 200) if bad.endswith(" ") else 401, headers={"X-API-Key": bad})
    bare.get("/sandboxes", expect=401, headers={"Authorization": "Basic " + key})
    bare.get("/sandboxes", expect=401, headers={"Authorization": "Bearer x", "X-API-Key": key})


def test_scopes(control):
    email = "scopes@example.org"
    control.user(email)
    reader, writer = control.api(control.key(email, scopes="read")), control.api(control.key(email, scopes="write"))
    answer = reader.post("/sandboxes", {}, expect=403).json()
    assert answer["error"] == "forbidden"
    made = writer.post("/sandboxes", {}, expect=201).json()["sandbox"]
    path = f"/sandboxes/{made['id']}"
    for read in ("/sandboxes", path, path + "/ports/80", "/sandbox_limits", "/sandbox_templates"):
        reader.get(read)
        writer.get(read)
    for method, what in (("DELETE", path), ("PATCH", path), ("POST", path + "/resume"), ("POST", path + "/timeout")):
        reader.request(method, what, 403, json={"timeout": 5} if method == "POST" else None)
    writer.delete(path)


def test_revoked_expired_disabled(control):
    email = "ends@example.org"
    control.user(email)
    key = control.key(email)
    api = control.api(key)
    api.get("/sandboxes")
    control.admin("key", "revoke", key.split("_")[1])
    api.get("/sandboxes", expect=401)
    assert control.run("admin", "key", "revoke", "bvk_" + key.split("_")[1]).returncode == 0
    assert "there is no key" in control.run("admin", "key", "revoke", "nope", expect=1).stderr
    short = control.api(control.key(email, expires=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))))
    short.get("/sandboxes")
    wait.until(lambda: short.request("GET", "/sandboxes").status_code == 401, 10, what="expiry")
    last = control.api(control.key(email))
    last.get("/sandboxes")
    control.query("UPDATE users SET disabled_at = now() WHERE email = %s", email)
    last.get("/sandboxes", expect=401)


def test_last_used_is_recorded(control):
    key, _ = control.user("used@example.org")
    listed = lambda: control.admin("key", "list", "--email", "used@example.org")["keys"][0]
    assert listed()["last_used_at"] is None and listed()["prefix"] == key[:16] and key.split("_")[2] not in str(listed())
    control.api(key).get("/sandboxes")
    wait.until(lambda: listed()["last_used_at"], 5, what="last use")


def test_teams(control):
    mine, my_team = control.user("mine@example.org")
    other, _ = control.user("other@example.org")
    control.admin("team", "create", "--slug", "shared")
    control.admin("team", "add-member", "--team", "shared", "--email", "mine@example.org", "--role", "owner")
    me, you = control.api(mine), control.api(other)
    private = me.post("/sandboxes", {}, expect=201).json()["sandbox"]
    shared = me.post("/sandboxes", {"team": "shared"}, expect=201).json()["sandbox"]
    assert (private["team"], shared["team"]) == (my_team, "shared")
    assert {s["id"] for s in me.get("/sandboxes").json()["sandboxes"]} == {private["id"], shared["id"]}
    assert [s["id"] for s in me.get("/sandboxes?team=shared").json()["sandboxes"]] == [shared["id"]]
    page = me.get("/sandboxes?team=shared&limit=1").json()
    assert "next_token" not in page
    # another team's object is 404, whatever is done to it
    for sandbox in (private, shared):
        path = f"/sandboxes/{sandbox['id']}"
        you.get(path, expect=404)
        you.get(path + "/ports/80", expect=404)
        you.request("PATCH", path, 404, json={"name": "x"})
        you.delete(path, expect=404)
        you.post(path + "/resume", {}, expect=404)
        you.post(path + "/timeout", {"timeout": 1}, expect=404)
    you.post("/sandboxes", {"team": "shared"}, expect=404)
    you.get("/sandboxes?team=shared", expect=404)
    # a token of a list that saw more shows only what its bringer may see
    me.post("/sandboxes", {"team": "shared"}, expect=201)
    token = me.get("/sandboxes?limit=1").json()["next_token"]
    assert you.get("/sandboxes", params={"next_token": token}).json() == {"sandboxes": []}
    # a key that is bound to one team
    bound = control.api(control.key("mine@example.org", team="shared"))
    assert all(s["team"] == "shared" for s in bound.get("/sandboxes").json()["sandboxes"])
    assert bound.post("/sandboxes", {}, expect=201).json()["sandbox"]["team"] == "shared"
    bound.get(f"/sandboxes/{private['id']}", expect=404)
    bound.post("/sandboxes", {"team": my_team}, expect=404)
    # who joins sees it
    control.admin("team", "add-member", "--team", "shared", "--email", "other@example.org")
    you.get(f"/sandboxes/{shared['id']}")
    you.get(f"/sandboxes/{private['id']}", expect=404)
    for sandbox in me.get("/sandboxes?limit=100").json()["sandboxes"]:
        me.delete(f"/sandboxes/{sandbox['id']}")
    assert control.counters_right()


@pytest.mark.parametrize("args,words", [
    (("user", "create", "--email", "no-at"), "not an e-mail"),
    (("user", "create", "--email", "dup@example.org"), "exists"),
    (("user", "create", "--email", "new@example.org", "--team", "1x"), "slug"),
    (("team", "create", "--slug", "-"), "letters"),
    (("team", "add-member", "--team", "nope", "--email", "dup@example.org"), "no team"),
    (("team", "add-member", "--team", "dup", "--email", "dup@example.org", "--role", "king"), "owner, admin or member"),
    (("key", "create", "--email", "nope@example.org"), "no user"),
    (("key", "create", "--email", "dup@example.org", "--team", "nope"), "in a team"),
    (("key", "create", "--email", "dup@example.org", "--scopes", "all"), "read, write or read,write"),
    (("key", "create", "--email", "dup@example.org", "--expires", "soon"), "30d"),
    (("host", "drain", "nope"), "no host"),
    (("quota", "set", "--team", "nope", "--vcpus", "1"), "no team"),
    (("quota", "set", "--team", "dup", "--vcpus", "x"), "number"),
    (("template", "register", "--manifest", "/nonexistent"), "/nonexistent"),
])
def test_admin_says_what_is_wrong(control, args, words):
    control.run("admin", "user", "create", "--email", "dup@example.org", expect=None)
    done = control.run("admin", *args, expect=1)
    assert words in done.stderr and not done.stdout


def test_admin_usage(control):
    assert "host-token create" in control.run("admin", "--help").stdout
    assert control.run("admin", "key", "create", "--help").stdout.count("\n") == 2
    for args in (("admin",), ("admin", "key"), ("admin", "key", "create"), ("admin", "key", "create", "--email"), ("nonsense",),
                 ("admin", "key", "create", "--email", "a@b", "--host", "x"), ("admin", "key", "list", "--email", "a", "--email", "b")):
        done = control.run(*args, expect=2)
        assert done.stderr and not done.stdout
