# SPDX-License-Identifier: Apache-2.0
"""A sandbox from create to gone, as a client sees it."""
import os
import re
import subprocess
import sys
import time

import pytest

from support import ROOT, wait
from support.client import ApiClient

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3}|\.\d{6})?Z")
MEMBERS = ("id", "state", "name", "template_id", "template", "template_version", "template_version_id", "route_token", "timeout",
           "deadline_at", "end_at", "started_at", "created_at", "lifecycle", "metadata", "volume_mounts", "cpu_count", "memory_mb",
           "data_plane_url", "sandbox_domain", "allow_internet_access", "network")


def test_create_answers_when_the_machine_is_usable(api):
    made = api.post("/sandboxes", {"template": "base", "timeout": 120, "metadata": {"n": 1, "who": "me"}, "name": "first"}, expect=201).json()
    sandbox, session = made["sandbox"], made["session"]
    assert set(MEMBERS) <= set(sandbox)
    assert isinstance(sandbox["id"], str) and sandbox["state"] == "ready" and sandbox["name"] == "first"
    assert sandbox["metadata"] == {"n": "1", "who": "me"}
    assert re.fullmatch(r"[a-z][a-z0-9]{19,39}", sandbox["route_token"])
    assert sandbox["end_at"] == sandbox["deadline_at"]
    for name in ("deadline_at", "started_at", "created_at"):
        assert TIME.fullmatch(sandbox[name]), (name, sandbox[name])
    assert sandbox["template"]["slug"] == "base" and sandbox["template_id"] == "base"
    assert session["token"] == session["access_token"]
    assert session["data_plane_url"] == sandbox["data_plane_url"]
    assert sandbox["route_token"] in session["data_plane_url"]
    # usable at once
    answer = ApiClient(session["data_plane_url"] + "/runtime/v1", session["token"]).get("/files/exists?path=/workspace")
    assert answer.json() == {"exists": True, "entry_type": "directory"}
    api.delete(f"/sandboxes/{sandbox['id']}")


def test_get_list_delete(api):
    first, second = api.create_sandbox(metadata={"k": "list"}), api.create_sandbox(metadata={"k": "list"})
    listed = api.get("/sandboxes", params={"query[metadata][k]": "list"}).json()["sandboxes"]
    assert [s["id"] for s in listed] == [second.id, first.id], "newest first"
    assert first.get() == next(s for s in listed if s["id"] == first.id)
    page = api.get("/sandboxes", params={"query[metadata][k]": "list", "limit": 1}).json()
    rest = api.get("/sandboxes", params={"next_token": page["next_token"]}).json()
    assert [s["id"] for s in page["sandboxes"] + rest["sandboxes"]] == [second.id, first.id]
    assert "next_token" not in rest
    for one in (first, second):
        one.delete()
        api.get(f"/sandboxes/{one.id}", expect=404)
        one.delete()  # again 204
    assert api.get("/sandboxes", params={"query[metadata][k]": "list"}).json()["sandboxes"] == []


def test_delete_ends_the_machine_and_everything_of_it(api, cluster):
    before = set(cluster.vmhost.machines())
    sandbox = api.create_sandbox()
    assert len(set(cluster.vmhost.machines()) - before) == 1
    sandbox.delete()
    wait.until(lambda: set(cluster.vmhost.machines()) <= before, 15, what="the machine is gone")


def test_resume_of_a_running_sandbox_gives_a_fresh_session(sandbox):
    old = sandbox.session["token"]
    made = sandbox.resume()
    assert made["session"]["token"] != old
    assert sandbox.sh("echo still here") == "still here\n"


@pytest.mark.parametrize("path", ["/sandboxes/0", "/sandboxes/99999999999999999999999", "/sandboxes/-1", "/sandboxes/base", "/sandboxes/%20"])
def test_an_id_that_cannot_exist_is_404(api, path):
    answer = api.get(path, expect=404)
    assert answer.json()["error"] == "sandbox_not_found"


def test_deadline_ends_the_machine(api, cluster):
    sandbox = api.create_sandbox(timeout=3)
    wait.until(lambda: api.request("GET", f"/sandboxes/{sandbox.id}").status_code == 404, 15, what="the deadline")
    answer = sandbox.data.request("GET", "/process")
    assert answer.status_code == 404 and answer.json()["error"] == "sandbox_not_found"


@pytest.mark.parametrize("body, member", [
    ({"timeout": 0}, "timeout"), ({"timeout": "soon"}, "timeout"), ({"timeout": 10 ** 12}, "timeout"),
    ({"metadata": "text"}, "metadata"), ({"template": 5.5}, "template"), ({"env_vars": {"A=B": "x"}}, "env"),
    ({"lifecycle": {"on_timeout": "explode"}}, "on_timeout"),
])
def test_bad_members_are_named(api, body, member):
    answer = api.post("/sandboxes", {"template": "base", **body}, expect=(400, 404, 422))
    error = answer.json()
    assert member in error["message"] or member in str(error.get("details")), error
    assert error["request_id"]


def test_unknown_template_is_404(api):
    answer = api.post("/sandboxes", {"template": "no-such-template"}, expect=(404, 422))
    assert answer.json()["error"] == "template_not_found"


def test_unknown_members_are_ignored(api):
    with api.create_sandbox(nobody_knows_this={"a": [1]}) as sandbox:
        assert sandbox.get()["state"] == "ready"


def test_env_of_the_sandbox_reaches_processes(api):
    with api.create_sandbox(env_vars={"GREETING": "hello world", "EMPTY": ""}) as sandbox:
        assert sandbox.sh('echo "$GREETING[$EMPTY]"') == "hello world[]\n"
        assert "hello world" not in api.get(f"/sandboxes/{sandbox.id}").text


def test_five_at_once(api):
    made = [api.create_sandbox() for _ in range(5)]
    try:
        names = {s.sh("hostname").strip() for s in made}
        assert len(names) == 5
    finally:
        for sandbox in made:
            sandbox.delete()


def test_create_is_quick(api):
    """A create resumes a snapshot; it boots nothing. The bound is loose: sanitizers, software emulation, a busy machine."""
    times = []
    for _ in range(3):
        begin = time.monotonic()
        sandbox = api.create_sandbox()
        times.append(time.monotonic() - begin)
        sandbox.delete()
    assert min(times) < 2, times


def test_dev_run(cluster):
    """./dev run: one command in a sandbox of its own, with its output and its exit code."""
    argv = [sys.executable, "-m", "bivdev", "--state", cluster.inst.state, "--ident", cluster.inst.ident, "run", "echo out; echo err >&2; exit 3"]
    done = subprocess.run(argv, env={**os.environ, "PYTHONPATH": os.path.join(ROOT, "deploy", "dev")}, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "err\n")
