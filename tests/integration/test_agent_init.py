# SPDX-License-Identifier: Apache-2.0
"""The host's side of the agent: init, health, quiesce, shutdown, and who may ask. Without a machine: no groups, clock or names are changed."""
import os
import socket
import subprocess
import tempfile

import pytest

from support.agent_link import Agent, Closed, PROGRAM, init_body, run_agent


@pytest.fixture
def agent():
    with tempfile.TemporaryDirectory(prefix="bivouac-agent-") as folder:
        yield from run_agent(folder)


def init(agent, body, token=None):
    return agent.request("POST", "/agent/v1/init", json=body, token=token)


def test_hz12_new_token_and_environment(agent):
    old, new = agent.token, os.urandom(32).hex()
    link = agent.link()
    answer = init(agent, init_body(new, env={"GREETING": "hello"}))
    assert answer.status_code == 200 and answer.json() == {"ok": True, "agent_version": answer.json()["agent_version"], "link_version": 1}
    with pytest.raises((Closed, ConnectionResetError)):  # it was opened with the old token
        while True:
            link.read_message(5)
    assert agent.request("GET", "/agent/v1/health", token=old).status_code == 401
    agent.token = new
    health = agent.request("GET", "/agent/v1/health", 200).json()
    assert health["ok"] and health["initialised"] and health["generation"] == 1 and health["memory"]["total_bytes"] > 0
    link = agent.link()
    assert link.run("sh", "-c", "echo $GREETING", user="root")[0] == b"hello\n"
    assert link.run("sh", "-c", "echo $GREETING", user="root", env={"GREETING": "bye"})[0] == b"bye\n"
    link.close()


def test_init_may_be_repeated_when_its_answer_was_lost(agent):
    old, new = agent.token, os.urandom(32).hex()
    body = init_body(new)
    assert init(agent, body).status_code == 200
    assert init(agent, body, token=old).status_code == 200  # the same again, with the token before
    assert init(agent, {**body, "token": os.urandom(32).hex()}, token=old).status_code == 401
    assert init(agent, {**body, "generation": 2}, token=old).status_code == 401
    agent.token = new
    link = agent.link()
    assert init(agent, body).status_code == 200
    link.ping(1)
    link.until(lambda: link.pongs)  # the token is the same: links stay
    link.close()


def test_generations(agent):
    new = os.urandom(32).hex()
    assert init(agent, init_body(new, generation=5)).status_code == 200
    agent.token = new
    stale = init(agent, init_body(os.urandom(32).hex(), generation=4))
    assert stale.status_code == 409 and stale.json()["error"] == "stale_generation"
    assert agent.request("GET", "/agent/v1/health", 200).json()["generation"] == 5
    # a copy of this machine becomes another sandbox, which counts for itself
    other = os.urandom(32).hex()
    assert init(agent, init_body(other, generation=1, sandbox="2")).status_code == 200
    agent.token = other
    assert agent.request("GET", "/agent/v1/health", 200).json()["generation"] == 1


@pytest.mark.parametrize(
    "change",
    [
        {"token": "x" * 64},
        {"token": "ab"},
        {"hostname": "a b"},
        {"hostname": ""},
        {"machine_id": "zz"},
        {"entropy_b64": "AAAA"},
        {"generation": -1},
        {"generation": "1"},
        {"time_ns": 0},
        {"env": {"A=B": "c"}},
        {"env": {"A": 5}},
        {"sandbox_id": None},
    ],
)
def test_init_fails_closed(agent, change):
    answer = init(agent, {**init_body(os.urandom(32).hex()), **change})
    assert answer.status_code == 422 and answer.json()["error"] == "invalid_request", answer.text
    assert answer.json()["details"]["field"].startswith(next(iter(change)))
    health = agent.request("GET", "/agent/v1/health", 200).json()  # the old token is in force
    assert not health["initialised"]


def test_hz31_only_with_the_token(agent):
    for path in ("/agent/v1/health", "/runtime/v1/process", "/runtime/v1/files?path=/etc/passwd", "/agent/v1/link"):
        for headers in ({"Authorization": ""}, {"Authorization": "Bearer "}, {"Authorization": "Bearer " + "0" * 64}, {"Authorization": "Basic x"}):
            answer = agent.request("GET", path, headers=headers)
            assert answer.status_code == 401 and answer.json()["error"] == "unauthorized"
    assert agent.request("POST", "/agent/v1/init", json=init_body("0" * 64), token="1" * 64).status_code == 401


def test_hz31_only_from_the_host():
    with tempfile.TemporaryDirectory() as folder:
        token = os.path.join(folder, "token")
        with open(os.open(token, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write("0" * 64)
        process = subprocess.Popen(
            [PROGRAM, "--foreground", "--listen", "127.0.0.1:0", "--token-file", token, "--peer", "169.254.77.1"],
            stdout=subprocess.PIPE,
        )
        try:
            port = int(process.stdout.readline().split()[-1])
            s = socket.create_connection(("127.0.0.1", port), timeout=10)
            try:
                s.sendall(b"GET /agent/v1/health HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + b"0" * 64 + b"\r\n\r\n")
                assert s.recv(100) == b""
            except ConnectionResetError:
                pass
            s.close()
        finally:
            process.terminate()
            process.wait(10)
            process.stdout.close()


def test_quiesce(agent):
    assert agent.request("POST", "/agent/v1/quiesce", 200, json={"freeze": False}).json() == {"ok": True, "synced": True, "frozen": False}
    agent.request("POST", "/agent/v1/quiesce", 422, json={"freeze": "yes"})


def test_unknown_routes(agent):
    assert agent.request("GET", "/").status_code == 404
    assert agent.request("POST", "/agent/v1/health").status_code == 405


def test_shutdown():
    with tempfile.TemporaryDirectory(prefix="bivouac-agent-") as folder:
        os.chmod(folder, 0o755)
        agent = Agent(PROGRAM, folder)
        link = agent.link()
        pid = link.start("sh", "-c", "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done", user="root")
        link.until(lambda: link.output(pid))
        agent.request("POST", "/agent/v1/shutdown", 422, json={"mode": "explode"})
        agent.request("POST", "/agent/v1/shutdown", 202, json={"mode": "poweroff"})
        assert agent.process.wait(10) == 0
        agent.stop()
        link.close()
