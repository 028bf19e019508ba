# SPDX-License-Identifier: Apache-2.0
"""Hazard 28: a session token opens its own sandbox, for its time, signed with our key, and nothing else."""
import base64
import hashlib
import hmac
import json
import time

import pytest

from bivdev import pki
from support.client import ApiClient, DataPlane


def b64(data):
    return base64.urlsafe_b64encode(data if isinstance(data, bytes) else json.dumps(data).encode()).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def parts(token):
    head, claims, signature = token.split(".")
    return json.loads(unb64(head)), json.loads(unb64(claims)), signature


def der_to_raw(der):
    """ECDSA signature: ASN.1 as openssl writes it to the 64 bytes of a JWT."""
    at, numbers = 2, []
    for _ in range(2):
        size = der[at + 1]
        numbers.append(int.from_bytes(der[at + 2:at + 2 + size], "big").to_bytes(32, "big"))
        at += 2 + size
    return b"".join(numbers)


def sign_es256(head, claims, key_file, tmp_path):
    signed = f"{b64(head)}.{b64(claims)}"
    message, out = tmp_path / "message", tmp_path / "signature"
    message.write_bytes(signed.encode())
    pki.openssl("dgst", "-sha256", "-sign", key_file, "-out", str(out), str(message))
    return f"{signed}.{b64(der_to_raw(out.read_bytes()))}"


def refused(sandbox, token, url=None):
    answer = DataPlane(url or sandbox.url, token).request("GET", "/process")
    assert answer.status_code == 401, f"{answer.status_code} {answer.text}"
    assert answer.json()["error"]


@pytest.fixture(scope="module")
def other(cluster):
    with cluster.api().create_sandbox() as other:
        yield other


@pytest.fixture(scope="module")
def key_file(cluster):
    return cluster.inst.secret("control", "session.key")


def test_hz28_claims(shared_sandbox):
    head, claims, _ = parts(shared_sandbox.token)
    assert head["alg"] == "ES256" and head["kid"]
    assert claims["iss"] == "bivouac" and claims["aud"] == "dataplane" and claims["sub"] == shared_sandbox.id
    assert claims["rt"] == shared_sandbox.sandbox["route_token"] and claims["jti"]
    assert 3600 <= claims["exp"] - claims["iat"] <= 24 * 3600


def test_hz28_token_of_another_sandbox(shared_sandbox, other):
    refused(shared_sandbox, other.token)
    refused(other, shared_sandbox.token)


def test_hz28_our_own_signature_is_accepted(shared_sandbox, key_file, tmp_path):
    """The helper that forges tokens below signs rightly; else the refusals would show nothing."""
    head, claims, _ = parts(shared_sandbox.token)
    token = sign_es256(head, {**claims, "jti": "again"}, key_file, tmp_path)
    DataPlane(shared_sandbox.url, token).get("/process")


@pytest.mark.parametrize("change", [
    {"exp": 1}, {"exp": None}, {"aud": "other"}, {"aud": None}, {"iss": "someone"}, {"iss": None}, {"sub": "1"}, {"sub": None},
    {"rt": "a" * 24}, {"rt": None}, {"exp": "never"}, {"exp": -1},
])
def test_hz28_signed_but_wrong(shared_sandbox, key_file, tmp_path, change):
    head, claims, _ = parts(shared_sandbox.token)
    merged = {k: v for k, v in {**claims, **change}.items() if v is not None}
    refused(shared_sandbox, sign_es256(head, merged, key_file, tmp_path))


def test_hz28_expired(shared_sandbox, key_file, tmp_path):
    head, claims, _ = parts(shared_sandbox.token)
    token = sign_es256(head, {**claims, "exp": int(time.time()) + 2, "jti": "short"}, key_file, tmp_path)
    DataPlane(shared_sandbox.url, token).get("/process")
    time.sleep(3)
    refused(shared_sandbox, token)


def test_hz28_alg_none(shared_sandbox):
    head, claims, signature = parts(shared_sandbox.token)
    for alg in ("none", "None", "NONE", ""):
        for end in ("", signature):
            refused(shared_sandbox, f"{b64({**head, 'alg': alg})}.{b64(claims)}.{end}")


def test_hz28_hs256_with_our_public_key(shared_sandbox, cluster):
    head, claims, _ = parts(shared_sandbox.token)
    with open(cluster.inst.path("pki", "session", head["kid"] + ".pem"), "rb") as file:
        public = file.read()
    signed = f"{b64({**head, 'alg': 'HS256'})}.{b64(claims)}"
    for key in (public, public.strip()):
        refused(shared_sandbox, f"{signed}.{b64(hmac.new(key, signed.encode(), hashlib.sha256).digest())}")


def test_hz28_another_key(shared_sandbox, tmp_path):
    head, claims, _ = parts(shared_sandbox.token)
    pki.make_key(str(tmp_path / "mine.key"))
    refused(shared_sandbox, sign_es256(head, claims, str(tmp_path / "mine.key"), tmp_path))
    refused(shared_sandbox, sign_es256({**head, "kid": "../../etc/passwd"}, claims, str(tmp_path / "mine.key"), tmp_path))
    refused(shared_sandbox, sign_es256({k: v for k, v in head.items() if k != "kid"}, claims, str(tmp_path / "mine.key"), tmp_path))


def test_hz28_every_changed_character(shared_sandbox):
    token = shared_sandbox.token
    step = max(len(token) // 60, 1)
    for at in list(range(0, len(token), step)):
        if token[at] == ".":
            continue
        changed = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1:]
        if parts_equal(changed, token):
            continue  # the last character of a part holds bits that do not count
        refused(shared_sandbox, changed)


def parts_equal(one, two):
    try:
        return [unb64(p) for p in one.split(".")] == [unb64(p) for p in two.split(".")]
    except ValueError:
        return False


@pytest.mark.parametrize("header", [None, "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "Bearer a.b", "Bearer " + "x" * 7000, "Bearer \x7f"])
def test_hz28_no_or_odd_credential(shared_sandbox, header):
    client = ApiClient(shared_sandbox.url + "/runtime/v1")
    answer = client.request("GET", "/process", headers={"Authorization": header} if header is not None else {})
    assert answer.status_code in (400, 401), answer.text


def test_hz28_after_the_kill(api):
    sandbox = api.create_sandbox()
    process = sandbox.start("sleep", "600")
    sandbox.delete()
    answer = sandbox.data.request("GET", "/process")
    assert answer.status_code == 404 and answer.json()["error"] == "sandbox_not_found"
    with pytest.raises(Exception):
        while True:
            process.next(10)


def test_hz28_api_keys(cluster, api):
    url = cluster.inst.api_url
    for key in (None, "bvk_nothing", cluster.key[:-1] + ("a" if cluster.key[-1] != "a" else "b"), cluster.key.upper(), "x" * 5000):
        answer = ApiClient(url, key).request("GET", "/sandboxes")
        assert answer.status_code in (400, 401), answer.text
    by_header = ApiClient(url)
    by_header.get("/sandboxes", headers={"X-API-Key": cluster.key})
