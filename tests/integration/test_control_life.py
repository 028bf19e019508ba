# SPDX-License-Identifier: Apache-2.0
"""Sandboxes through the public API of a real control and a real PostgreSQL, with a scripted host."""
import base64
import json
import re
import time

import pytest

from support.control_stack import BASE_TEMPLATE, Stack
from support.raw_http import RawHttp


@pytest.fixture(scope="module")
def stack():
    with Stack() as stack:
        with stack.control.host() as host:
            stack.host = host
            stack.control.wait_hosts(1)
            yield stack


@pytest.fixture
def control(stack):
    return stack.control


@pytest.fixture
def host(stack):
    return stack.host


@pytest.fixture
def user(control):
    key, team = control.user()
    api = control.api(key)
    api.team = team
    return api


def claims(token):
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def test_create_get_list_delete(control, host, user):
    made = user.post("/sandboxes", {"template": "base", "timeout": 600, "metadata": {"job": "x", "n": 3, "o": {"a": [1]}},
                                    "env_vars": {"SECRET": "hush-hush"}}, expect=201).json()
    sandbox, session = made["sandbox"], made["session"]
    assert sandbox["state"] == "ready" and isinstance(sandbox["id"], str)
    assert sandbox["template_id"] == "base" and sandbox["template"]["slug"] == "base" and sandbox["template"]["id"].isdigit()
    assert sandbox["template_version"] == BASE_TEMPLATE["version"] and isinstance(sandbox["template_version_id"], int)
    assert re.fullmatch("[a-z][a-z0-9]{23}", sandbox["route_token"])
    assert sandbox["data_plane_url"] == f"http://{sandbox['route_token']}.sandbox.localhost:18081" == session["data_plane_url"]
    assert sandbox["metadata"] == {"job": "x", "n": "3", "o": '{"a":[1]}'}
    assert sandbox["timeout"] == 600 and sandbox["deadline_at"] == sandbox["end_at"] and sandbox["deadline_at"].endswith("Z")
    assert sandbox["lifecycle"] == {"on_timeout": "kill", "auto_resume": False}
    assert (sandbox["cpu_count"], sandbox["memory_mb"]) == (2, 1024)
    assert sandbox["team"] == user.team and sandbox["volume_mounts"] == [] and sandbox["allow_internet_access"] is True
    assert "hush-hush" not in json.dumps(made)
    token = claims(session["access_token"])
    assert session["token"] == session["access_token"]
    assert (token["sub"], token["rt"], token["aud"], token["iss"]) == (sandbox["id"], sandbox["route_token"], "dataplane", "bivouac")
    assert 3600 - 5 <= token["exp"] - time.time() <= 3600 + 5

    vm = host.vms[sandbox["id"]]
    assert vm.spec["env"] == {"SECRET": "hush-hush"} and vm.spec["route_token"] == sandbox["route_token"]
    assert vm.spec["on_timeout"] == "kill" and abs(vm.deadline_ms / 1000 - time.time() - 600) < 10

    assert user.get(f"/sandboxes/{sandbox['id']}").json()["sandbox"] == sandbox
    assert [s["id"] for s in user.get("/sandboxes").json()["sandboxes"]] == [sandbox["id"]]
    user.delete(f"/sandboxes/{sandbox['id']}")
    assert sandbox["id"] not in host.vms
    user.delete(f"/sandboxes/{sandbox['id']}")
    user.get(f"/sandboxes/{sandbox['id']}", expect=404)
    assert user.get("/sandboxes").json() == {"sandboxes": []}
    assert control.counters_right()


def test_create_with_nothing_takes_all_defaults(user):
    made = user.post("/sandboxes", expect=201).json()["sandbox"]
    assert made["timeout"] == 300 and made["template_id"] == "base" and made["name"].startswith("sandbox-") and made["metadata"] == {}
    user.delete(f"/sandboxes/{made['id']}")


@pytest.mark.parametrize("body", [
    {"template_id": "base"}, {"template": "base"}, {"template_id": None, "template": "base"},
    {"template": "base:" + BASE_TEMPLATE["version"]}, {"cpu": 2}, {"cpu_count": 2, "memory_mb": 1024}, {"cpus": 2},
    {"envs": {"A": "1"}}, {"environment": {"A": "1"}}, {"env": {"A": "1"}}, {"env_vars": None}, {"name": "my box"},
    {"secure": True, "exposed_ports": [80]}, {"auto_pause": False}, {"lifecycle": {"on_timeout": "kill"}}, {"lifecycle": None},
    {"volume_mounts": {}}, {"volume_mounts": []}, {"new_volumes": []}, {"keep_hot": True}, {"allow_internet_access": True},
    {"network": {"allow_out": []}}, {"allow_package_registry_access": True}, {"allow_out": [], "deny_out": []}, {"whatever": {"x": 1}},
    {"mask_request_host": None},
])
def test_create_spellings(user, body):
    made = user.post("/sandboxes", body, expect=201).json()["sandbox"]
    user.delete(f"/sandboxes/{made['id']}")


def test_create_by_ids(control, user):
    registered = control.admin("template", "list")["versions"][0]
    for ref in (registered["template_id"], str(registered["template_id"]), registered["template_version_id"],
                f"base:{registered['template_version_id']}"):
        made = user.post("/sandboxes", {"template_id": ref}, expect=201).json()["sandbox"]
        assert made["template_version_id"] == registered["template_version_id"]
        user.delete(f"/sandboxes/{made['id']}")
    made = user.post("/sandboxes", {"template": "base", "template_version_id": registered["template_version_id"]}, expect=201).json()["sandbox"]
    user.delete(f"/sandboxes/{made['id']}")


@pytest.mark.parametrize("body,status,code,field", [
    ({"timeout": 0}, 422, "invalid_request", "timeout"),
    ({"timeout": 86401}, 422, "invalid_request", "timeout"),
    ({"timeout": "300"}, 422, "invalid_request", "timeout"),
    ({"timeout": 1.5}, 422, "invalid_request", "timeout"),
    ({"lifecycle": {"on_timeout": "sleep"}}, 422, "invalid_request", "lifecycle.on_timeout"),
    ({"lifecycle": {"auto_resume": True}}, 422, "invalid_request", "lifecycle.auto_resume"),
    ({"lifecycle": {"on_timeout": "pause"}}, 422, "not_supported", "lifecycle.on_timeout"),
    ({"auto_pause": True}, 422, "not_supported", "lifecycle.on_timeout"),
    ({"auto_pause": True, "lifecycle": {"on_timeout": "kill"}}, 422, "invalid_request", "auto_pause"),
    ({"volume_mounts": {"/data": "cache"}}, 422, "not_supported", "volume_mounts"),
    ({"volume_mounts": {"data": "cache"}}, 422, "invalid_request", "volume_mounts"),
    ({"volume_mounts": [{"name": "1x", "path": "/data"}]}, 422, "invalid_request", "volume_mounts"),
    ({"volume_mounts": "x"}, 422, "invalid_request", "volume_mounts"),
    ({"new_volumes": [{"name": "work"}]}, 422, "not_supported", "new_volumes"),
    ({"snapshot_id": "12"}, 422, "not_supported", "checkpoint_id"),
    ({"checkpoint_id": 12}, 422, "not_supported", "checkpoint_id"),
    ({"init": "make"}, 422, "not_supported", "init"),
    ({"mcp": {"a": 1}}, 422, "template_not_found", "template_id"),
    ({"cpu": 3}, 422, "invalid_request", "cpu"),
    ({"cpu": 4}, 422, "not_supported", "cpu"),
    ({"memory_mb": 1000}, 422, "invalid_request", "memory_mb"),
    ({"memory_mb": 2048}, 422, "not_supported", "memory_mb"),
    ({"allow_internet_access": False}, 422, "not_supported", "allow_internet_access"),
    ({"allow_public_traffic": False}, 422, "not_supported", "allow_public_traffic"),
    ({"allow_out": "example.org"}, 422, "not_supported", "allow_out"),
    ({"network": {"deny_out": ["0.0.0.0/0"]}}, 422, "not_supported", "deny_out"),
    ({"egress_profile": "x"}, 422, "not_supported", "egress_profile"),
    ({"egress_profiles": ["x"]}, 422, "not_supported", "egress_profiles"),
    ({"network_class": "x"}, 422, "not_supported", "network_class"),
    ({"rules": {"h": []}}, 422, "not_supported", "rules"),
    ({"mask_request_host": "h"}, 422, "not_supported", "mask_request_host"),
    ({"template": "nope"}, 422, "template_not_found", "template_id"),
    ({"template": ""}, 422, "invalid_request", "template_id"),
    ({"template": "base:nope"}, 422, "template_not_found", "template_id"),
    ({"template": "99999999999999999999999"}, 422, "template_not_found", "template_id"),
    ({"template": -1}, 422, "invalid_request", "template"),
    ({"template_version_id": "999999"}, 422, "template_not_found", "template_version_id"),
    ({"team": "nobody"}, 404, "team_not_found", "team"),
    ({"name": ""}, 422, "invalid_request", "name"),
    ({"name": "a\u0007"}, 422, "invalid_request", "name"),
    ({"name": "x" * 129}, 422, "invalid_request", "name"),
    ({"metadata": {"": "x"}}, 422, "invalid_request", "metadata"),
    ({"metadata": {"k": "x" * 20000}}, 422, "invalid_request", "metadata"),
    ({"metadata": []}, 422, "invalid_request", "metadata"),
    ({"env": {"A=B": "x"}}, 422, "invalid_request", "env_vars"),
    ({"env": {"A": 1}}, 422, "invalid_request", "env.A"),
    ({"env": {"A": "x" * 140000}}, 422, "invalid_request", "env_vars"),
])
def test_create_refuses_by_name(user, body, status, code, field):
    answer = user.post("/sandboxes", body, expect=status).json()
    assert answer["error"] == code and answer["details"]["field"] == field and answer["request_id"]
    assert user.get("/sandboxes").json()["sandboxes"] == []


def test_malformed_bodies(user):
    for data, status, code in ((b"{", 400, "invalid_json"), (b"[]", 422, "invalid_request"), (b"\xff", 400, "invalid_json"),
                               (b'{"a":1,"a":2}', 400, "invalid_json"), (b"{'a':1}", 400, "invalid_json")):
        answer = user.request("POST", "/sandboxes", status, data=data, headers={"Content-Type": "application/json"}).json()
        assert answer["error"] == code, answer
    user.request("POST", "/sandboxes", 413, data=b'{"name":"' + b"x" * (1 << 21) + b'"}')


def test_unknown_and_impossible_ids_are_404(user):
    for bad in ("999999", "0", "-1", "abc", "99999999999999999999", "1.5", "%00", "01"):
        for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/resume"), ("GET", "/ports/80")):
            answer = user.request(method, f"/sandboxes/{bad}{path}", (404, 400) if bad == "%00" else 404)
            assert answer.json()["error"] in ("sandbox_not_found", "bad_request")
    user.request("POST", "/sandboxes/999999/timeout", 404, json={"timeout": 5})
    user.request("PATCH", "/sandboxes/999999", 404, json={"name": "x"})


def test_resume_extends_and_timeout_sets_the_deadline(host, user):
    """hz21: resume never resets lifecycle, metadata or env, and never shortens a deadline."""
    made = user.post("/sandboxes", {"timeout": 600, "metadata": {"a": "b"}}, expect=201).json()["sandbox"]
    path = f"/sandboxes/{made['id']}"
    again = user.post(path + "/resume", {"timeout": 60}, expect=200).json()
    assert again["sandbox"]["deadline_at"] == made["deadline_at"] and again["session"]["access_token"]
    assert again["sandbox"]["metadata"] == {"a": "b"} and again["sandbox"]["lifecycle"] == made["lifecycle"]
    longer = user.post(path + "/connect", {"timeout": 3600}, expect=200).json()["sandbox"]
    assert longer["deadline_at"] > made["deadline_at"]
    assert abs(host.vms[made["id"]].deadline_ms / 1000 - time.time() - 3600) < 10
    kept = user.post(path + "/start", expect=200).json()["sandbox"]
    assert kept["deadline_at"] >= longer["deadline_at"]
    shorter = user.post(path + "/timeout", {"timeout": 30}, expect=200).json()
    assert set(shorter) == {"sandbox"} and shorter["sandbox"]["timeout"] == 30
    assert abs(host.vms[made["id"]].deadline_ms / 1000 - time.time() - 30) < 10
    user.post(path + "/timeout", {"timeout": 0}, expect=422)
    user.post(path + "/timeout", {}, expect=422)
    user.delete(path)
    user.post(path + "/resume", {}, expect=404)
    user.post(path + "/timeout", {"timeout": 5}, expect=404)


def test_patch(user):
    made = user.post("/sandboxes", {"metadata": {"a": "b"}}, expect=201).json()["sandbox"]
    path = f"/sandboxes/{made['id']}"
    changed = user.request("PATCH", path, 200, json={"name": "new", "keep_hot": True}).json()["sandbox"]
    assert changed == {**made, "name": "new", "keep_hot": True}
    changed = user.request("PATCH", path, 200, json={"metadata": {"c": 1}}).json()["sandbox"]
    assert changed["metadata"] == {"c": "1"} and changed["name"] == "new"
    assert user.request("PATCH", path, 422, json={"lifecycle": {"on_timeout": "pause"}}).json()["error"] == "not_supported"
    user.request("PATCH", path, 422, json={"keep_hot": "yes"})
    user.delete(path)
    user.request("PATCH", path, 404, json={"name": "x"})


def test_ports(user):
    made = user.post("/sandboxes", expect=201).json()["sandbox"]
    port = user.get(f"/sandboxes/{made['id']}/ports/3000").json()["sandbox_port"]
    assert port == {"port": 3000, "host": f"p3000-{made['route_token']}.sandbox.localhost:18081",
                    "url": f"http://p3000-{made['route_token']}.sandbox.localhost:18081"}
    for bad in ("0", "65536", "x", "-1"):
        user.get(f"/sandboxes/{made['id']}/ports/{bad}", expect=422)
    user.delete(f"/sandboxes/{made['id']}")


def test_list_filters_and_pages(user):
    ids = []
    for n in range(7):
        ids.append(user.post("/sandboxes", {"metadata": {"n": str(n % 2), "job": "a b&c"}}, expect=201).json()["sandbox"]["id"])
    newest = ids[::-1]
    page = user.get("/sandboxes", params={"limit": 3}).json()
    assert [s["id"] for s in page["sandboxes"]] == newest[:3]
    page = user.get("/sandboxes", params={"next_token": page["next_token"], "limit": 2}).json()
    assert [s["id"] for s in page["sandboxes"]] == newest[3:5]
    page = user.get("/sandboxes", params={"next_token": page["next_token"]}).json()
    assert [s["id"] for s in page["sandboxes"]] == newest[5:7] and "next_token" not in page
    odd = user.get("/sandboxes", params={"query[metadata][n]": "1", "limit": 2}).json()
    assert [s["id"] for s in odd["sandboxes"]] == [newest[1], newest[3]]
    odd = user.get("/sandboxes", params={"next_token": odd["next_token"]}).json()
    assert [s["id"] for s in odd["sandboxes"]] == [newest[5]] and "next_token" not in odd
    assert len(user.get("/sandboxes?query[metadata][job]=a+b%26c&query[metadata][n]=0").json()["sandboxes"]) == 4
    assert user.get("/sandboxes?query[metadata][job]=zzz").json()["sandboxes"] == []
    user.delete(f"/sandboxes/{ids[0]}")
    states = {"query[state][]=running": 6, "query[state][]=ready": 6, "query[state][]=paused": 0, "query[state][]=destroyed": 1,
              "query[state][]=ready&query[state][]=destroyed": 7, "query[state][]=failed": 0}
    for query, count in states.items():
        assert len(user.get("/sandboxes?" + query).json()["sandboxes"]) == count, query
    assert len(user.get(f"/sandboxes?team={user.team}").json()["sandboxes"]) == 6
    for bad, status in (("limit=0", 422), ("limit=101", 422), ("limit=x", 422), ("next_token=zzz", 422), ("query[state][]=odd", 422),
                        ("query[metadata]=x", 200), ("query[metadata][x=1", 422), ("team=nobody", 404)):
        user.get("/sandboxes?" + bad, expect=status)
    for sandbox_id in ids:
        user.delete(f"/sandboxes/{sandbox_id}")


def test_broken_escapes(control, user):
    key = user.session.headers["Authorization"]
    for path in ("/v1/sandboxes?limit=%zz", "/v1/sandboxes?query[metadata][a]=%0", "/v1/sandboxes/%z1"):
        answer = RawHttp(("127.0.0.1", control.port)).send(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\n\r\n".encode()).answer()
        assert answer.status == 400 and json.loads(answer.body)["error"] == "bad_request"


def test_limits(user):
    limits = user.get("/sandbox_limits").json()
    assert limits["allowed_cpus"] == [1, 2, 4, 8] and limits["max_timeout"] == 86400 and limits["defaults"] == {"cpu": 2, "memory_mb": 1024}
    assert set(limits["memory"]) == {"min_mb", "max_mb", "increment_mb"} and set(limits["prices"]) == {"runtime", "storage"}
    assert limits["quota"]["team"] == user.team and limits["quota"]["usage"] == {"sandboxes": 0, "vcpus": 0, "memory_mb": 0}
    made = user.post("/sandboxes", expect=201).json()["sandbox"]
    assert user.get("/sandbox_limits", params={"team": user.team}).json()["quota"]["usage"] == {"sandboxes": 1, "vcpus": 2, "memory_mb": 1024}
    user.delete(f"/sandboxes/{made['id']}")
    assert user.get("/sandbox_limits").json()["quota"]["usage"] == {"sandboxes": 0, "vcpus": 0, "memory_mb": 0}
    user.get("/sandbox_limits?team=nobody", expect=404)


def test_quota_exceeded(control, user):
    control.admin("quota", "set", "--team", user.team, "--sandboxes", "1")
    made = user.post("/sandboxes", expect=201).json()["sandbox"]
    answer = user.post("/sandboxes", expect=422).json()
    assert answer["error"] == "sandbox_quota_exceeded" and answer["request_id"]
    assert answer["quota"] == user.get("/sandbox_limits").json()["quota"]
    user.delete(f"/sandboxes/{made['id']}")
    control.admin("quota", "set", "--team", user.team, "--sandboxes", "10", "--vcpus", "3")
    made = user.post("/sandboxes", expect=201).json()["sandbox"]
    user.post("/sandboxes", expect=422)
    user.delete(f"/sandboxes/{made['id']}")
    assert control.counters_right()


def test_templates(control, user):
    listed = user.get("/sandbox_templates").json()["sandbox_templates"]
    base = next(t for t in listed if t["slug"] == "base")
    assert base["visibility"] == "provider" and base["status"] == "ready" and base["team"] is None
    assert user.get("/sandbox_templates/base").json()["sandbox_template"] == base
    assert user.get(f"/sandbox_templates/{base['id']}").json()["sandbox_template"] == base
    versions = user.get("/sandbox_templates/base/versions").json()["sandbox_template_versions"]
    assert versions[0]["version"] == BASE_TEMPLATE["version"] and versions[0]["runtime_baseline"] == {"cpu": 2, "memory_mb": 1024}
    assert user.get(f"/sandbox_templates/base/versions/{versions[0]['id']}").json()["sandbox_template_version"] == versions[0]
    user.get("/sandbox_templates/nope", expect=404)
    assert user.get("/sandbox_templates/base/versions/1", expect=404).json()["error"] == "template_version_not_found"
    control.register_template(slug="fresh")
    assert any(t["slug"] == "fresh" for t in user.get("/sandbox_templates").json()["sandbox_templates"])
    assert user.post("/sandboxes", {"template": "fresh"}, expect=503).json()["error"] == "no_capacity"


def test_request_id_and_errors(control, user):
    answer = user.get("/sandboxes/1x", expect=404, headers={"X-Request-Id": "my-id-1"})
    assert answer.headers["X-Request-Id"] == "my-id-1" and answer.json()["request_id"] == "my-id-1"
    assert user.get("/nope", expect=404).json()["error"] == "not_found"
    answer = user.request("PUT", "/sandboxes", 405)
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "POST"}
    assert control.api(None).session.get(f"http://127.0.0.1:{control.port}/health").json()["status"] == "ok"
    assert control.api(None).session.get(f"http://127.0.0.1:{control.port}/metrics").status_code in (401, 404)


def test_hz32_secrets_are_in_no_log_and_no_row(control, host, user):
    """hz32: env values, keys and tokens appear in no log and no table in clear."""
    made = user.post("/sandboxes", {"env": {"TOKEN": "s3cr3t-value-xyz"}}, expect=201, headers={"Idempotency-Key": "hz32"}).json()
    user.delete(f"/sandboxes/{made['sandbox']['id']}")
    log = control.log()
    key = user.session.headers["Authorization"].split()[1]
    for secret in ("s3cr3t-value-xyz", key, key.split("_")[2], made["session"]["token"], host.token):
        assert secret not in log
    dump = str(control.query("SELECT * FROM sandboxes")) + str(control.query("SELECT * FROM idempotency_keys")) + str(control.query("SELECT * FROM api_keys"))
    for secret in ("s3cr3t-value-xyz", key.split("_")[2], made["session"]["token"]):
        assert secret not in dump
    boxes = control.query("SELECT env_box FROM sandboxes WHERE id = %s", made["sandbox"]["id"])
    assert bytes(boxes[0][0])[:4] == b"\x01\x02k1"
