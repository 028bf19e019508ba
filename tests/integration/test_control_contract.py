# SPDX-License-Identifier: Apache-2.0
"""Live answers against docs/openapi.yaml, and the codes of docs/errors.md against the sources. A small checker: types, required, members, enums."""
import os
import re

import pytest
import yaml

from support import ROOT
from support.control_stack import Stack

with open(os.path.join(ROOT, "docs", "openapi.yaml")) as file:
    SPEC = yaml.safe_load(file)


def resolve(node):
    while "$ref" in node:
        target = SPEC
        for part in node["$ref"][2:].split("/"):
            target = target[part]
        node = target
    return node


def conforms(value, schema, where):
    """Strict about members: an object may only have those that the schema names."""
    schema = resolve(schema)
    if value is None:
        assert schema.get("nullable"), f"{where}: null"
        return
    if "anyOf" in schema:
        return
    kind = schema.get("type")
    types = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool}
    if kind:
        assert isinstance(value, types[kind]) and not (kind in ("integer", "number") and isinstance(value, bool)), f"{where}: {value!r} is no {kind}"
    if "enum" in schema:
        assert value in schema["enum"], f"{where}: {value!r}"
    if "pattern" in schema:
        assert re.search(schema["pattern"], value), f"{where}: {value!r}"
    if schema.get("format") == "date-time":
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3}|\.\d{6})?Z", value), f"{where}: {value!r}"
    if kind == "array":
        for i, item in enumerate(value):
            conforms(item, schema["items"], f"{where}[{i}]")
    if kind == "object":
        missing = set(schema.get("required", ())) - set(value)
        assert not missing, f"{where}: lacks {missing}"
        for name, item in value.items():
            known = schema.get("properties", {}).get(name)
            extra = schema.get("additionalProperties", "properties" not in schema)
            assert known is not None or extra, f"{where}: {name} is not in the contract"
            if known is not None:
                conforms(item, known, f"{where}.{name}")
            elif isinstance(extra, dict):
                conforms(item, extra, f"{where}.{name}")


def check(answer, path, method):
    operation = SPEC["paths"][path][method]
    response = resolve(operation["responses"].get(str(answer.status_code)) or operation["responses"]["default"])
    if "content" in response:
        assert answer.headers["Content-Type"].startswith("application/json")
        conforms(answer.json(), response["content"]["application/json"]["schema"], f"{method} {path} {answer.status_code}")
    else:
        assert answer.content == b""
    return answer


@pytest.fixture(scope="module")
def api():
    with Stack() as stack, stack.control.host():
        stack.control.wait_hosts(1)
        key, _ = stack.control.user()
        yield stack.control.api(key)


def test_answers_are_what_the_contract_says(api):
    one = "/v1/sandboxes/{id}"
    made = check(api.post("/sandboxes", {"metadata": {"a": 1}}, expect=201), "/v1/sandboxes", "post").json()["sandbox"]
    path = f"/sandboxes/{made['id']}"
    for _ in range(2):
        api.post("/sandboxes", {}, expect=201)
    check(api.get("/sandboxes?limit=1"), "/v1/sandboxes", "get")
    check(api.get("/sandboxes?limit=0", expect=422), "/v1/sandboxes", "get")
    check(api.get(path), one, "get")
    check(api.request("PATCH", path, 200, json={"name": "x"}), one, "patch")
    for verb in ("resume", "connect", "start"):
        check(api.post(f"{path}/{verb}"), f"{one}/{verb}", "post")
    check(api.post(path + "/timeout", {"timeout": 60}), one + "/timeout", "post")
    check(api.get(path + "/ports/80"), one + "/ports/{port}", "get")
    check(api.delete(path), one, "delete")
    check(api.get(path, expect=404), one, "get")
    check(api.get("/sandboxes?query[state][]=destroyed"), "/v1/sandboxes", "get")
    check(api.get("/sandbox_limits"), "/v1/sandbox_limits", "get")
    check(api.get("/sandbox_templates"), "/v1/sandbox_templates", "get")
    check(api.get("/sandbox_templates/base"), "/v1/sandbox_templates/{id}", "get")
    versions = check(api.get("/sandbox_templates/base/versions"), "/v1/sandbox_templates/{id}/versions", "get").json()
    version = versions["sandbox_template_versions"][0]["id"]
    check(api.get(f"/sandbox_templates/base/versions/{version}"), "/v1/sandbox_templates/{id}/versions/{version}", "get")
    check(api.post("/sandboxes", {"timeout": 0}, expect=422), "/v1/sandboxes", "post")


def test_every_route_of_the_contract_wants_a_key(api):
    bare = api.__class__(api.url)
    for path, operations in SPEC["paths"].items():
        if not path.startswith("/v1/"):
            continue
        for method in set(operations) & {"get", "post", "put", "patch", "delete"}:
            answer = bare.request(method.upper(), path[3:].replace("{id}", "1").replace("{port}", "1").replace("{version}", "1"))
            assert answer.status_code == 401, f"{method} {path}: {answer.status_code}"


def test_codes_in_the_sources_are_documented():
    with open(os.path.join(ROOT, "docs", "errors.md")) as file:
        documented = set(re.findall(r"^\| (\d{3}) \| `(\w+)` \|", file.read(), re.M))
    found = set()
    for folder in ("common/http", "control"):
        for base, _, names in os.walk(os.path.join(ROOT, folder)):
            for name in names:
                if name.endswith(".c"):
                    with open(os.path.join(base, name)) as source:
                        text = source.read()
                    found |= set(re.findall(r"(?:http_reply_error|http_reply_error_details|conn_refuse)\([^;]*?(\d{3}), \"(\w+)\"", text))
    assert len(found) > 8 and found - {("502", "bad_gateway"), ("426", "upgrade_required")} <= documented, found - documented
