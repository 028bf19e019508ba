# SPDX-License-Identifier: Apache-2.0
"""Hazards 11, 12, 30, 31, 32: what a machine knows, reaches and holds."""
import os
import re
import time

import pytest

from support import wait


@pytest.fixture(scope="module")
def pair(cluster):
    """Two machines from one snapshot."""
    with cluster.api().create_sandbox() as one, cluster.api().create_sandbox() as two:
        yield one, two


def test_hz12_two_machines_differ(pair):
    for command in ("head -c 16 /dev/urandom | od -An -tx1", "cat /proc/sys/kernel/random/uuid", "cat /etc/machine-id", "hostname",
                    "python3 -c 'import os, ssl, uuid; print(os.urandom(8).hex(), ssl.RAND_bytes(8).hex(), uuid.uuid4())'"):
        one, two = (s.sh(command) for s in pair)
        assert one.strip() and one != two, command


def test_hz12_the_first_instruction_already_differs(cluster):
    """Read at once, without anything before it that could stir the pool."""
    seen = set()
    for _ in range(3):
        with cluster.api().create_sandbox() as sandbox:
            seen.add(sandbox.run("head", "-c", "32", "/dev/urandom")[1])
    assert len(seen) == 3


def test_hz11_clock_is_right_at_once(cluster):
    with cluster.api().create_sandbox() as sandbox:
        before = time.time()
        guest = float(sandbox.sh("date +%s.%N"))
        after = time.time()
        assert before - 0.5 <= guest <= after + 0.5


def test_hz11_clock_stays_right(pair):
    time.sleep(5)
    before = time.time()
    guest = float(pair[0].sh("date +%s.%N"))
    assert before - 0.5 <= guest <= time.time() + 0.5


@pytest.mark.parametrize("target", ["169.254.77.1", "127.0.0.1", "10.0.0.1", "192.168.0.1", "169.254.169.254", "1.1.1.1"])
def test_hz30_no_way_to_the_host_or_anywhere(shared_sandbox, cluster, target):
    """Guests have no way out yet; the host's own ports must be closed to them whatever the address."""
    ports = [cluster.inst.port(name) for name in ("api", "gateway", "vmhost_api", "vmhost_admin", "postgres", "redis")]
    code = ("import socket, sys\nopened = []\nfor port in %r:\n s = socket.socket(); s.settimeout(0.5)\n try:\n  s.connect((%r, port)); opened.append(port)\n"
            " except OSError: pass\nprint(opened)" % (ports + [7777 if target != "127.0.0.1" else 1], target))
    assert shared_sandbox.sh(f"python3 - <<'EOF'\n{code}\nEOF", timeout_s=60) == "[]\n"


def test_hz31_the_user_cannot_read_the_agents_token(shared_sandbox):
    out = shared_sandbox.sh("""
        cat /proc/1/environ /proc/1/maps /proc/1/mem 2>/dev/null | wc -c
        ls /proc/1/fd 2>/dev/null | wc -l
        grep -rsl -E '[0-9a-f]{64}' /run /etc /tmp 2>/dev/null | grep -v -e ssl -e ca-cert | wc -l
    """)
    assert out.split() == ["0", "0", "0"]


def test_hz31_the_agent_refuses_without_its_token(shared_sandbox):
    out = shared_sandbox.sh("for a in 127.0.0.1 169.254.77.2; do curl -s -m 3 -o /dev/null -w '%{http_code}\\n' http://$a:7777/runtime/v1/process || true; done")
    assert set(out.split()) <= {"401", "403", "000"}, out


def machines_of(cluster):
    return wait.until(lambda: cluster.vmhost.machines())


def test_hz31_no_machine_holds_a_writable_shared_file(pair, cluster):
    """Reads /proc of every machine: files that more than one holds are read-only; nothing of another machine is open."""
    holders = {}
    for pid in machines_of(cluster):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            try:
                target = os.stat(f"/proc/{pid}/fd/{fd}")
                path = os.readlink(f"/proc/{pid}/fd/{fd}")
                with open(f"/proc/{pid}/fdinfo/{fd}") as file:
                    flags = int(re.search(r"flags:\s+(\d+)", file.read()).group(1), 8)
            except FileNotFoundError:
                continue
            if path.startswith("/") and os.path.isfile(f"/proc/{pid}/fd/{fd}"):
                holders.setdefault((target.st_dev, target.st_ino), []).append((pid, path, flags & os.O_ACCMODE))
    assert holders
    shared = {key: who for key, who in holders.items() if len({pid for pid, _, _ in who}) > 1}
    assert shared, "machines of one template share its files"
    for who in shared.values():
        assert all(mode == os.O_RDONLY for _, _, mode in who), who


def test_hz31_a_machine_has_no_rights(pair, cluster):
    uids = set()
    for pid in machines_of(cluster):
        with open(f"/proc/{pid}/status") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        assert int(status["CapEff"], 16) == 0 and int(status["CapPrm"], 16) == 0 and int(status["CapBnd"], 16) == 0
        assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
        assert status["Uid"].split()[0] == status["Uid"].split()[1] != "0"
        assert status["Groups"].strip() == ""
        uids.add(status["Uid"].split()[0])
        assert os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net")
        assert os.readlink(f"/proc/{pid}/ns/mnt") != os.readlink("/proc/self/ns/mnt")
        root = set(os.listdir(f"/proc/{pid}/root"))
        assert not root & {"home", "root", "var", "work", "srv"}, root
    assert len(uids) == len(machines_of(cluster)), "each machine has a uid of its own"


def test_hz31_daemons_have_no_rights(cluster):
    for name in ("control", "gateway"):
        with open(f"/proc/{cluster.daemon(name).pid}/status") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        assert status["Uid"].split()[0] != "0" and int(status["CapEff"], 16) == 0 and status["NoNewPrivs"] == "1"


def test_hz32_secrets_are_in_no_log_and_no_title(cluster):
    secret = "s3cr3t-" + os.urandom(8).hex()
    with cluster.api().create_sandbox(env_vars={"API_SECRET": secret}) as sandbox:
        sandbox.sh("echo $API_SECRET >/dev/null", env={"OTHER": secret})
        sandbox.data.request("GET", "/process", headers={"Authorization": "Bearer " + sandbox.token[:-3] + "abc"})
        titles = ""
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline") as file:
                    titles += file.read()
            except OSError:
                pass
        values = {"env value": secret, "session token": sandbox.token, "api key": cluster.key}
        with open(cluster.inst.secret("vmhost", "host_token")) as file:
            values["host token"] = file.read().strip()
        with open(cluster.inst.secret("control", "data.keys")) as file:
            values["data key"] = file.read().split()[1]
    for what, value in values.items():
        assert value not in titles, f"{what} in a process title"
        for name in cluster.daemons:
            log = cluster.daemon(name).log()
            assert value not in log, f"{what} in the log of {name}"
            assert value.split("_")[-1] not in log, f"the secret part of {what} in the log of {name}"
