# SPDX-License-Identifier: Apache-2.0
"""Hazards 28 and 32: who may speak to which sandbox, and what is never written down."""
import json
import os
import signal
import time

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bivdev.process_stream import ProcessError
from bivdev.wsocket import Closed, Refused, WebSocket
from support import wait
from support.gateway_rig import Rig


@pytest.fixture(scope="module")
def rig():
    with Rig() as rig:
        yield rig


@pytest.fixture(scope="module")
def sandbox(rig):
    return rig.sandbox()


def expect(answer, status, code):
    assert (answer.status_code, answer.json()["error"]) == (status, code), answer.text
    assert answer.json()["request_id"] and answer.json()["message"]


def test_a_good_token(rig, sandbox):
    assert rig.get(sandbox, "/process").json() == {"processes": []}


def test_unknown_hosts(rig, sandbox):
    token = rig.token(sandbox)
    for host, code in ((f"r{'0' * 23}.sandbox.localhost", "sandbox_not_found"), ("localhost", "not_found"), ("x.sandbox.localhost", "not_found"),
                       (f"p80-{sandbox['rt']}.sandbox.localhost", "not_found"), (f"{sandbox['rt']}.sandbox.example.org", "not_found")):
        expect(rig.get(sandbox, "/process", token=token, headers={"Host": host}), 404, code)


def test_unknown_routes(rig, sandbox):
    expect(rig.get(sandbox, "/nothing"), 404, "not_found")
    expect(rig.request("PATCH", sandbox, "/files"), 405, "method_not_allowed")


def test_hz28_no_token(rig, sandbox):
    for value in (None, "", "Bearer", "Bearer ", "Basic abc", "Bearer not.a.token"):
        answer = rig.get(sandbox, "/process", headers={"Authorization": value})
        expect(answer, 401, "unauthorized")
        assert "WWW-Authenticate" in answer.headers


def test_hz28_claims(rig, sandbox):
    now = int(time.time())
    for claims in ({"exp": now - 1}, {"exp": None}, {"aud": "control"}, {"aud": None}, {"iss": "other"}, {"sub": None}, {"rt": None},
                   {"iat": now + 3600}):
        expect(rig.get(sandbox, "/process", token=rig.token(sandbox, **claims)), 401, "unauthorized")


def test_hz28_another_sandboxs_token(rig, sandbox):
    other = rig.sandbox()
    expect(rig.get(sandbox, "/process", token=rig.token(other)), 401, "unauthorized")
    expect(rig.get(sandbox, "/process", token=rig.token(sandbox, rt=other["rt"])), 401, "unauthorized")
    expect(rig.get(sandbox, "/process", token=rig.token(sandbox, sub=other["id"])), 401, "unauthorized")
    with pytest.raises(Refused) as refused:
        rig.process(sandbox, token=rig.token(other)).start("x")
    assert refused.value.status == 401


def test_hz28_algorithms(rig, sandbox):
    public = rig.keys.private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    claims = jwt.decode(rig.token(sandbox), options={"verify_signature": False})
    none = jwt.encode(claims, None, algorithm="none", headers={"kid": "k1"})
    head, body, _ = rig.token(sandbox).split(".")
    import base64
    import hashlib
    import hmac
    fake_head = base64.urlsafe_b64encode(json.dumps({"alg": "HS256", "typ": "JWT", "kid": "k1"}).encode()).rstrip(b"=")
    signed = fake_head + b"." + body.encode()
    mac = base64.urlsafe_b64encode(hmac.new(public, signed, hashlib.sha256).digest()).rstrip(b"=")
    stranger = rig.keys.session(sandbox, key=ec.generate_private_key(ec.SECP256R1()))
    unknown = rig.keys.session(sandbox, kid="k9")
    changed = head + "." + body[:-2] + ("AA" if body[-2:] != "AA" else "BB") + "." + rig.token(sandbox).split(".")[2]
    for token in (none, (signed + b"." + mac).decode(), stranger, unknown, changed):
        expect(rig.get(sandbox, "/process", token=token), 401, "unauthorized")


def test_hz28_killed_sandbox(rig):
    gone = rig.sandbox(program=lambda proc: None)
    token = rig.token(gone)
    stream = rig.process(gone).start("sleep")
    assert rig.get(gone, "/process", token=token).status_code == 200
    rig.vmhost.gone(gone)
    with pytest.raises(ProcessError) as error:
        stream.next(5)
    assert error.value.code == "process_lost" and "closed" not in error.value.message
    with pytest.raises(Closed):
        stream.next(5)
    expect(rig.get(gone, "/process", token=token), 404, "sandbox_not_found")
    with pytest.raises(Refused) as refused:
        rig.process(gone, token=token).connect(stream.pid)
    assert refused.value.status == 404
    wait.until(lambda: not rig.redis.client().keys(f"*{{{gone['id']}}}*"), 10, what="its output to be dropped")


def test_paused_sandbox(rig):
    paused = rig.sandbox()
    rig.vmhost.route(paused, paused["agent"].port, paused["agent"].token, state="paused")
    wait.until(lambda: rig.get(paused, "/process").status_code == 409, 5)
    expect(rig.get(paused, "/process"), 409, "sandbox_paused")
    with pytest.raises(Refused) as refused:
        rig.process(paused).start("x")
    assert refused.value.status == 409
    rig.vmhost.route(paused, paused["agent"].port, paused["agent"].token, generation=2)
    wait.until(lambda: rig.get(paused, "/process").status_code == 200, 5)


def test_browsers_token_in_the_query(rig, sandbox):
    token = rig.token(sandbox)
    for name in ("token", "access_token"):
        ws = WebSocket(f"ws://{rig.host(sandbox)}/runtime/v1/process?{name}={token}", {}, 10, ("127.0.0.1", rig.port))
        ws.send(json.dumps({"type": "ping"}))
        assert json.loads(ws.recv()) == {"type": "pong"}
        ws.close()
    # elsewhere it is no credential
    expect(rig.get(sandbox, f"/process?token={token}", headers={"Authorization": None}), 401, "unauthorized")


def test_read_scope(rig, sandbox):
    token = rig.token(sandbox, scope="read")
    assert rig.get(sandbox, "/process", token=token).status_code == 200
    expect(rig.request("DELETE", sandbox, "/files?path=/x", token=token), 403, "forbidden")
    with pytest.raises(Refused) as refused:
        rig.process(sandbox, token=token).start("x")
    assert refused.value.status == 403


def test_keys_are_read_again(rig, sandbox):
    private = rig.keys.add("k2")
    token = rig.keys.session(sandbox, kid="k2", key=private)
    expect(rig.get(sandbox, "/process", token=token), 401, "unauthorized")
    rig.child.send_signal(signal.SIGHUP)
    wait.until(lambda: rig.get(sandbox, "/process", token=token).status_code == 200, 5)
    assert rig.get(sandbox, "/process").status_code == 200
    os.unlink(os.path.join(rig.keys.folder, "k2.pem"))
    rig.child.send_signal(signal.SIGHUP)
    fresh = rig.keys.session(sandbox, kid="k2", key=private)
    wait.until(lambda: rig.get(sandbox, "/process", token=fresh).status_code == 401, 5)


def test_the_agent_gets_its_own_token(rig, sandbox):
    rig.get(sandbox, "/files?path=/x", headers={"X-Request-Id": "my-id", "Cookie": "secret=1"})
    method, path, headers = sandbox["agent"].requests[-1]
    assert (method, path) == ("GET", "/runtime/v1/files?path=/x")
    assert headers["authorization"] == f"Bearer {sandbox['agent'].token}"
    assert headers["x-request-id"] == "my-id" and "cookie" not in headers


def test_request_id_is_echoed(rig, sandbox):
    assert rig.get(sandbox, "/process", headers={"X-Request-Id": "abc.1"}).headers["X-Request-Id"] == "abc.1"
    answer = rig.get(sandbox, "/process", headers={"Authorization": None, "X-Request-Id": "abc.2"})
    assert answer.json()["request_id"] == "abc.2"


def test_hz32_no_token_in_the_log(rig, sandbox):
    token = rig.token(sandbox)
    marker = {"SECRET_VALUE": "hunter2hunter2"}
    ws = WebSocket(f"ws://{rig.host(sandbox)}/runtime/v1/process?token={token}", {}, 10, ("127.0.0.1", rig.port))
    ws.send(json.dumps({"type": "start", "cmd": "x", "env": marker}))
    ws.recv()
    ws.close()
    rig.get(sandbox, "/process", token=token)
    wait.until(lambda: token.split(".")[1] not in rig.log() and "/runtime/v1/process" in rig.log(), 5)
    for secret in (token, sandbox["agent"].token, "hunter2"):
        assert secret not in rig.log()
    with open(f"/proc/{rig.child.pid}/cmdline", "rb") as file:
        assert b"ey" not in file.read().split(b"--config")[0]
