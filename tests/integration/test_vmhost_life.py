# SPDX-License-Identifier: Apache-2.0
"""bivouac-vmhost with real machines: create, find, end, deadlines, routes, heartbeats; what a machine holds and what is left of it."""
import json
import os
import socket
import subprocess
import threading
import time

import pytest

from support import wait
from support.vmhost_rig import UID_GATEWAY, Gateway, VmhostRig, fdinfo_flags


@pytest.fixture(scope="module")
def rig():
    with VmhostRig() as rig:
        rig.wait_template()
        yield rig


@pytest.fixture
def vm(rig):
    vm = rig.create()
    yield vm
    rig.delete(vm["id"], 99)


# ---- create and find ----

def test_create_tells_its_steps(rig, vm):
    assert vm["state"] == "running" and vm["generation"] == 1
    assert set(vm["timings_us"]) == {"slot", "qemu", "state", "run", "init", "total"}
    assert 0 < vm["timings_us"]["total"] < 20_000_000
    assert abs(vm["started_at_ms"] - time.time() * 1000) < 30_000
    assert rig.machine_of(vm["id"])


def test_create_twice_is_one_machine(rig, vm):
    again = rig.put(vm["id"])
    assert again.status == 200 and again.json["vm"]["started_at_ms"] == vm["started_at_ms"]
    assert len([pid for pid in rig.machines() if rig.machine_of(vm["id"]) == pid]) == 1


def test_concurrent_creates_of_one_id_are_one_machine(rig):
    vm_id, spec = rig.new_id(), rig.spec()
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(rig.call("PUT", f"/host/v1/vms/{vm_id}", spec))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [a.status for a in answers] == [200] * 4, answers
    assert len({a.json["vm"]["started_at_ms"] for a in answers}) == 1
    assert rig.delete(vm_id).status == 204


def test_generations(rig):
    vm = rig.create(generation=5)
    assert rig.put(vm["id"], generation=4).status == 409
    assert rig.delete(vm["id"], 4).status == 409
    assert rig.put(vm["id"], generation=6).json["error"] == "vm_ending"
    wait.until(lambda: rig.vm(vm["id"]).status == 404, 20)
    assert rig.put(vm["id"], generation=5).json["error"] == "stale_generation"
    assert rig.put(vm["id"], generation=6).status == 200
    assert rig.delete(vm["id"], 6).status == 204
    assert rig.delete(vm["id"], 6).status == 204


def test_hz20_a_late_create_after_its_delete_makes_nothing(rig):
    vm_id = rig.new_id()
    assert rig.delete(vm_id, 3).status == 204
    assert rig.put(vm_id, generation=3).status == 409
    assert rig.machine_of(vm_id) is None


@pytest.mark.parametrize("change,status,code", [
    ({"template": {"slug": "nosuch", "version": "1"}}, 404, "template_not_found"),
    ({"memory_mb": 4096}, 422, "size_not_available"),
    ({"generation": -1}, 400, None),
    ({"generation": "1"}, 400, None),
    ({"route_token": "short"}, 400, None),
    ({"env": {"A": 1}}, 400, None),
    ({"deadline_ms": None}, 400, None),
])
def test_bad_specs(rig, change, status, code):
    answer = rig.put(rig.new_id(), **change)
    assert answer.status in ((status, 422) if status == 400 else (status,)), answer
    assert code is None or answer.json["error"] == code


@pytest.mark.parametrize("vm_id", ["abc", "-1", "1%2F2", "18446744073709551616000", "007", "..", "template-1"])
def test_ids_are_decimal(rig, vm_id):
    assert rig.call("PUT", f"/host/v1/vms/{vm_id}", rig.spec()).status in (400, 404)
    assert rig.vm(vm_id).status in (400, 404)


def test_only_control_may_ask(rig):
    assert rig.get("/host/v1/vms", who="other").status == 403
    assert rig.get("/host/v1/vms", who="host").status == 403
    with pytest.raises(OSError):
        rig.get("/host/v1/vms", who=None)


def test_a_client_that_leaves_during_a_create_leaves_no_debt(rig):
    vm_id = rig.new_id()
    sock = rig.context().wrap_socket(socket.create_connection(("127.0.0.1", rig.port)), server_hostname="localhost")
    body = json.dumps(rig.spec())
    sock.sendall(f"PUT /host/v1/vms/{vm_id} HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    sock.close()
    wait.until(lambda: rig.vm(vm_id).status == 200 and rig.vm(vm_id).json["vm"]["state"] == "running", 20)
    assert rig.delete(vm_id).status == 204


# ---- what a machine holds ----

def test_hz31_no_writable_descriptor_of_a_shared_file(rig, vm):
    pid = rig.machine_of(vm["id"])
    store = os.path.realpath(rig.file("state/store"))
    seen = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        path = os.readlink(f"/proc/{pid}/fd/{fd}")
        if path.startswith(store):
            assert fdinfo_flags(pid, fd) & os.O_ACCMODE == os.O_RDONLY, path
            seen.add(os.path.basename(path))
    assert "memory" in seen and "disk" in seen, seen
    with open(f"/proc/{pid}/maps") as file:
        memory = [line.split() for line in file if line.rstrip().endswith("/memory")]
    assert memory and all(line[1].endswith("p") for line in memory), memory


def test_hz31_a_cell_has_nothing(rig, vm):
    pid = rig.machine_of(vm["id"])
    with open(f"/proc/{pid}/status") as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    assert {status[c] for c in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2" and status["Groups"].strip() == ""
    with open(f"/proc/{pid}/limits") as file:
        assert "Max core file size        0                    0" in file.read()
    assert sorted(os.listdir(f"/proc/{pid}/root")) == sorted(["usr", "proc", "dev", "etc", "lib", "lib64", "bin", "sbin", "shim.so"])
    assert os.listdir(f"/proc/{pid}/root/etc") == ["ld.so.cache"]
    assert set(os.listdir(f"/proc/{pid}/root/dev")) <= {"null", "urandom", "kvm"}
    # its own network namespace is empty: the tap is a descriptor only
    links = subprocess.run(["nsenter", "-t", str(pid), "-n", "ls", "/sys/class/net"], capture_output=True, text=True)
    with open(f"/proc/{pid}/net/dev") as file:
        assert [line.split(":")[0].strip() for line in file.readlines()[2:]] == ["lo"], links.stdout


def test_hz31_cells_do_not_see_each_other(rig, vm):
    other = rig.create()
    pid, second = rig.machine_of(vm["id"]), rig.machine_of(other["id"])
    uid = os.stat(f"/proc/{pid}").st_uid
    assert uid != os.stat(f"/proc/{second}").st_uid
    seen = subprocess.run(["nsenter", "-t", str(pid), "-m", "-S", str(uid), "-G", str(uid), "/usr/bin/ls", "/proc"], capture_output=True, text=True)
    pids = {int(name) for name in seen.stdout.split() if name.isdigit()}
    assert pid in pids and second not in pids and 1 not in pids, seen
    assert rig.delete(other["id"]).status == 204


def test_hz32_no_secret_in_titles_and_logs(rig):
    secret = "s3cr3t" + os.urandom(8).hex()
    vm = rig.create(env={"KEY": secret})
    gateway = rig.gateway()
    token = gateway.routes[vm["id"]]["agent_token"]
    with open(rig.file("token")) as file:
        host_token = file.read().strip()
    titles = ""
    for pid in [*rig.machines(), rig.process.pid, rig.child_pid()]:
        for name in ("cmdline", "environ"):
            with open(f"/proc/{pid}/{name}") as file:
                titles += file.read()
    for value in (secret, token, host_token, "bivouac.boot="):
        assert value not in titles and value not in rig.log()
    gateway.close()
    rig.delete(vm["id"])


def test_nothing_is_left_of_a_machine(rig):
    before = (rig.folders(), rig.journal(), rig.machines())
    vms = [rig.create() for _ in range(3)]
    assert len(rig.machines()) == len(before[2]) + 3
    for vm in vms:
        assert rig.delete(vm["id"]).status == 204
    assert (rig.folders(), rig.journal(), rig.machines()) == before
    wait.until(lambda: len(rig.namespaces()) <= 3 + len(before[2]), 10, what="only the pool's namespaces")


def test_disks_are_in_order(rig):
    """The overlays that we write ourselves, as qemu-img sees them; the chain below them is found by their names."""
    vm = rig.create()
    disk = rig.file(f"state/vms/{vm['id']}/disk.qcow2")
    copy = rig.file("copy.qcow2")
    os.kill(rig.machine_of(vm["id"]), 19)  # SIGSTOP: what is in the file now
    subprocess.run(["cp", disk, copy], check=True)
    os.kill(rig.machine_of(vm["id"]), 18)
    info = json.loads(subprocess.run(["qemu-img", "info", "--backing-chain", "--output=json", copy], check=True, capture_output=True).stdout)
    assert len(info) == 3 and {i["format"] for i in info} == {"qcow2"}
    assert len({i["virtual-size"] for i in info}) == 1
    checked = subprocess.run(["qemu-img", "check", "--output=json", copy], capture_output=True)
    report = json.loads(checked.stdout)
    assert report.get("corruptions", 0) == 0 and report["check-errors"] == 0, report
    rig.delete(vm["id"])
    os.unlink(copy)


# ---- ends ----

def test_a_deadline_ends_it_and_control_is_told(rig):
    vm = rig.create(deadline_ms=int((time.time() + 3) * 1000))
    wait.until(lambda: rig.vm(vm["id"]).json["vm"]["state"] == "gone", 15)
    assert rig.vm(vm["id"]).json["vm"]["end_reason"] == "timeout"
    wait.until(lambda: rig.control.ended().get(vm["id"]) == "timeout", 10)
    assert f"{vm['id']}.json" in rig.journal(), "kept until control knows"
    rig.control.ack.add(vm["id"])
    wait.until(lambda: rig.vm(vm["id"]).status == 404, 10)
    wait.until(lambda: f"{vm['id']}.json" not in rig.journal(), 5)


def test_a_deadline_can_be_moved(rig):
    vm = rig.create(deadline_ms=int((time.time() + 3) * 1000))
    later = int((time.time() + 600) * 1000)
    moved = rig.call("POST", f"/host/v1/vms/{vm['id']}/deadline", {"generation": 1, "deadline_ms": later})
    assert moved.status == 200 and moved.json["vm"]["deadline_ms"] == later
    with open(rig.file(f"state/journal/{vm['id']}.json")) as file:
        assert json.load(file)["deadline_ms"] == later
    time.sleep(4)
    assert rig.vm(vm["id"]).json["vm"]["state"] == "running"
    soon = int((time.time() - 1) * 1000)
    assert rig.call("POST", f"/host/v1/vms/{vm['id']}/deadline", {"generation": 0, "deadline_ms": soon}).status == 409
    assert rig.call("POST", f"/host/v1/vms/{vm['id']}/deadline", {"generation": 1, "deadline_ms": soon}).status == 200
    wait.until(lambda: rig.vm(vm["id"]).json["vm"]["state"] == "gone", 15)
    assert rig.delete(vm["id"]).status == 204
    assert rig.call("POST", "/host/v1/vms/424242/deadline", {"generation": 1, "deadline_ms": soon}).status == 404


def test_hz16_control_away_and_back(rig):
    rig.control.away = True
    vm = rig.create(deadline_ms=int((time.time() + 2) * 1000))
    wait.until(lambda: rig.vm(vm["id"]).json["vm"]["state"] == "gone", 15)
    rig.control.away = False
    wait.until(lambda: rig.control.ended().get(vm["id"]) == "timeout", 40)
    rig.control.ack.add(vm["id"])
    wait.until(lambda: rig.vm(vm["id"]).status == 404, 40)


def test_a_machine_that_dies_is_told(rig):
    vm = rig.create()
    os.kill(rig.machine_of(vm["id"]), 9)
    wait.until(lambda: rig.control.ended().get(vm["id"]) == "qemu_died", 10)
    assert rig.delete(vm["id"]).status == 204


def test_hz14c_poweroff_ends_the_machine(rig):
    vm = rig.create()
    gateway = rig.gateway()
    gateway.agent(vm["id"], "POST", "/agent/v1/shutdown", {})
    wait.until(lambda: rig.vm(vm["id"]).json["vm"]["state"] == "gone", 30)
    assert rig.vm(vm["id"]).json["vm"]["end_reason"] == "guest_shutdown"
    gateway.close()
    rig.delete(vm["id"])


# ---- routes ----

def test_routes_come_and_go(rig):
    gateway = rig.gateway()
    vm = rig.create()
    message, _ = gateway.receive()
    assert message["t"] == "route" and message["id"] == vm["id"] and message["state"] == "running" and message["team"] == "7"
    assert len(message["agent_token"]) == 64
    assert gateway.agent(vm["id"], "GET", "/agent/v1/health").status == 200
    assert gateway.agent(vm["id"], "GET", "/agent/v1/health", token="0" * 64).status == 401
    late = rig.gateway()
    assert late.routes[vm["id"]]["agent_token"] == message["agent_token"], "one that comes later hears the same"
    rig.delete(vm["id"])
    message, _ = gateway.receive()
    assert message["t"] == "gone" and message["id"] == vm["id"] and message["reason"] == "killed"
    assert gateway.connect(vm["id"])["error"] == "sandbox_not_found"
    gateway.close()
    late.close()


def test_each_sandbox_has_its_own_token(rig, vm):
    other = rig.create()
    gateway = rig.gateway()
    tokens = [gateway.routes[v["id"]]["agent_token"] for v in (vm, other)]
    assert tokens[0] != tokens[1]
    assert gateway.agent(other["id"], "GET", "/agent/v1/health", token=tokens[0]).status == 401
    gateway.close()
    rig.delete(other["id"])


def test_only_the_gateway_may_knock(rig):
    sock = Gateway(rig.file("gate/gate.sock"), uid=65534)
    with pytest.raises((OSError, TypeError, AssertionError)):
        sock.hello()
    sock.close()


@pytest.mark.parametrize("packet", [b"", b"{}", b"[]", b'{"t":"hello","v":2}', b'{"t":"route"}', b'{"t":"connect","req":1,"id":"1"}',
                                    b'{"t":"hello","v":1', b"\xff" * 100, b'{"t":"hello","v":1,"v":1}', b"x" * 66000],
                         ids=lambda packet: f"{packet[:20]!r}")
def test_a_gateway_that_breaks_the_protocol_is_cut(rig, packet):
    gateway = Gateway(rig.file("gate/gate.sock"), uid=UID_GATEWAY)
    if packet:
        gateway.sock.send(packet)
    else:
        gateway.sock.shutdown(socket.SHUT_WR)
    try:
        assert gateway.sock.recv(10) == b""
    except ConnectionResetError:
        pass
    gateway.close()
    assert rig.get("/health").status == 200


def test_hz30_the_namespace_is_closed(rig, vm):
    """The guest's side of the network: nothing of the host but answers."""
    with open(f"/proc/{rig.machine_of(vm['id'])}/status") as file:
        uid = int(next(line for line in file if line.startswith("Uid")).split()[1])
    slot = uid - rig.left_of.uids.start
    name = f"{rig.left_of.prefix}{slot}"
    rules = subprocess.run(["ip", "netns", "exec", name, "nft", "list", "ruleset"], check=True, capture_output=True, text=True).stdout
    assert rules.count("policy drop") == 3, rules
    routes = subprocess.run(["ip", "-n", name, "route"], check=True, capture_output=True, text=True).stdout
    assert routes.split()[0] == "169.254.77.0/30" and len(routes.splitlines()) == 1
    forward = subprocess.run(["ip", "netns", "exec", name, "cat", "/proc/sys/net/ipv4/ip_forward"], capture_output=True, text=True).stdout
    assert forward.strip() == "0"


# ---- capacity ----

def test_capacity_and_heartbeat(rig, vm):
    beat = wait.until(lambda: rig.control.beats[-1] if rig.control.beats and rig.control.beats[-1]["used"]["vms"] else None, 10)
    assert beat["used"]["vms"] >= 1 and beat["capacity"]["vms"] == 100 and beat["accelerator"] == "tcg"
    assert beat["templates"][0]["status"] == "ready" and beat["disk"]["bytes_free"] > 0
    assert beat["gateway_url"] == "http://g:1" and beat["host_api_url"].startswith("https://127.0.0.1:")
    with open(rig.file("token")) as file:
        assert rig.control.tokens == {"Bearer " + file.read().strip()}


def test_drain(rig):
    rig.control.drain = True
    wait.until(lambda: rig.put(rig.new_id()).json.get("error") == "no_capacity", 10)
    rig.control.drain = False
    wait.until(lambda: not rig.get("/health").json["draining"], 10)


def test_metrics_and_health(rig, vm):
    health = rig.get("/health").json
    assert health["status"] == "ok" and health["accelerator"] == "tcg" and health["vms"] >= 1
    metrics = rig.get("/metrics").text
    assert "bivouac_vmhost_creates_total" in metrics and "bivouac_vmhost_create_seconds_bucket" in metrics
