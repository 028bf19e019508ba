# SPDX-License-Identifier: Apache-2.0
"""bivouac-vmhost after accidents: kill -9 of either process at any moment, damaged journals, orphans, a full disk, a guest that resets itself."""
import json
import os
import signal
import subprocess
import threading
import time

import pytest

from support import wait
from support.vmhost_rig import UID_VMHOST, VmhostRig


@pytest.fixture(scope="module")
def rig():
    with VmhostRig() as rig:
        rig.wait_template()
        yield rig


def alive(rig, vm):
    """The machine answers, with the token that the journal has kept."""
    gateway = rig.gateway()
    try:
        return gateway.agent(vm["id"], "GET", "/agent/v1/health").status == 200
    finally:
        gateway.close()


@pytest.mark.parametrize("who", ["parent", "child"])
def test_hz15_machines_are_adopted_again(rig, who):
    vms = [rig.create() for _ in range(2)]
    before = rig.machines()
    rig.kill(who)
    assert rig.machines() == before, "machines outlive the service"
    rig.start()
    assert rig.machines() == before
    for vm in vms:
        found = rig.vm(vm["id"]).json["vm"]
        assert found["state"] == "running" and found["deadline_ms"] == vm["deadline_ms"] and found["started_at_ms"] == vm["started_at_ms"]
        assert alive(rig, vm)
        assert rig.put(vm["id"]).json["vm"]["state"] == "running", "found, not made again"
        assert rig.delete(vm["id"]).status == 204
    assert rig.machines() == []


def test_hz15_adopted_without_the_name_of_its_namespace(rig):
    """Each start of the service may see mounts of its own: then the namespace is found by the tap that QEMU holds."""
    vm = rig.create()
    rig.kill()
    for name in rig.namespaces():
        subprocess.run(["umount", "-l", f"/run/netns/{name}"], check=True)
    rig.start()
    assert alive(rig, vm) and rig.delete(vm["id"]).status == 204
    wait.until(lambda: rig.machines() == [] and len(rig.namespaces()) <= 3, 20)


def test_a_plain_stop_leaves_machines_running(rig):
    vm = rig.create()
    assert rig.stop() == 0
    assert rig.machines()
    rig.start()
    assert alive(rig, vm) and rig.delete(vm["id"]).status == 204


def test_hz15_a_deadline_that_passed_meanwhile_fires(rig):
    vm = rig.create(deadline_ms=int((time.time() + 3) * 1000))
    rig.kill()
    time.sleep(4)
    rig.start()
    wait.until(lambda: rig.vm(vm["id"]).json["vm"]["state"] == "gone", 15)
    assert rig.vm(vm["id"]).json["vm"]["end_reason"] == "timeout"
    assert rig.delete(vm["id"]).status == 204


def test_hz15_a_machine_that_died_meanwhile_is_told(rig):
    vm = rig.create()
    pid = rig.machine_of(vm["id"])
    rig.kill()
    os.kill(pid, signal.SIGKILL)
    wait.until(lambda: rig.machines() == [], 10)
    rig.start()
    wait.until(lambda: rig.control.ended().get(vm["id"]) == "qemu_died", 15)
    assert rig.folders() == []
    rig.kill()
    rig.start()
    assert rig.vm(vm["id"]).json["vm"]["end_reason"] == "qemu_died", "still told after another restart"
    rig.control.ack.add(vm["id"])
    wait.until(lambda: rig.vm(vm["id"]).status == 404, 15)


@pytest.mark.parametrize("after_ms", [5, 15, 30, 60, 100, 150, 250])
def test_hz15_killed_in_a_create(rig, after_ms):
    """Whatever moment the create was in: it is there and answers, or nothing of it is left; a retry gives one machine."""
    vm_id, spec = rig.new_id(), rig.spec()

    def create():
        try:
            rig.call("PUT", f"/host/v1/vms/{vm_id}", spec)
        except OSError:
            pass

    thread = threading.Thread(target=create)
    thread.start()
    time.sleep(after_ms / 1000)
    rig.kill("parent" if after_ms % 2 else "child")
    thread.join()
    rig.start()
    found = rig.vm(vm_id)
    assert found.status == 404 or found.json["vm"]["state"] == "running", found
    if found.status == 404:
        wait.until(lambda: rig.machines() == [] and rig.folders() == [] and rig.journal() == [], 20)
    again = rig.call("PUT", f"/host/v1/vms/{vm_id}", spec)
    assert again.status == 200 and again.json["vm"]["state"] == "running", again
    assert len(rig.machines()) == 1
    assert rig.delete(vm_id).status == 204


@pytest.mark.parametrize("after_ms", [0, 2, 5, 10, 20, 40])
def test_hz15_killed_in_a_delete(rig, after_ms):
    vm = rig.create()

    def delete():
        try:
            rig.delete(vm["id"])
        except OSError:
            pass

    thread = threading.Thread(target=delete)
    thread.start()
    time.sleep(after_ms / 1000)
    rig.kill()
    thread.join()
    rig.start()
    assert rig.delete(vm["id"]).status == 204
    wait.until(lambda: rig.machines() == [] and rig.folders() == [] and rig.journal() == [], 20)


def test_hz15_an_orphan_is_removed(rig):
    """A machine whose journal entry is gone or unreadable belongs to nobody."""
    lost, damaged, kept = (rig.create() for _ in range(3))
    rig.kill()
    os.unlink(rig.file(f"state/journal/{lost['id']}.json"))
    with open(rig.file(f"state/journal/{damaged['id']}.json"), "r+b") as file:
        file.truncate(40)
    rig.start()
    wait.until(lambda: rig.machines() == [rig.machine_of(kept["id"])], 20, what="only the one that has an entry")
    assert rig.vm(lost["id"]).status == 404 and rig.vm(damaged["id"]).status == 404
    assert os.path.exists(rig.file(f"state/journal/{damaged['id']}.json.bad"))
    os.unlink(rig.file(f"state/journal/{damaged['id']}.json.bad"))
    assert alive(rig, kept) and rig.delete(kept["id"]).status == 204
    wait.until(lambda: len(rig.namespaces()) <= 3, 10)


@pytest.mark.parametrize("text", ["", "{}", "[]", "not json", '{"version":1,"id":"../../x"}', "\x00" * 100])
def test_a_journal_of_garbage_keeps_nothing_from_starting(rig, text):
    path = rig.file("state/journal/4711.json")
    rig.stop()
    with open(path, "w") as out:
        out.write(text)
    os.chown(path, UID_VMHOST, UID_VMHOST)
    rig.start()
    assert rig.vm("4711").status == 404 and os.path.exists(path + ".bad")
    os.unlink(path + ".bad")


def test_a_process_that_took_the_pid_is_not_adopted(rig):
    """The journal's pid is now another process: it is not ours, whatever it runs as."""
    vm = rig.create()
    machine = rig.machine_of(vm["id"])
    rig.kill()
    os.kill(machine, signal.SIGKILL)
    other = subprocess.Popen(["sleep", "60"])
    path = rig.file(f"state/journal/{vm['id']}.json")
    with open(path) as file:
        entry = json.load(file)
    entry["pid"] = other.pid
    with open(path, "w") as out:
        json.dump(entry, out)
    rig.start()
    wait.until(lambda: rig.vm(vm["id"]).json["vm"]["state"] == "gone", 15)
    assert other.poll() is None, "a stranger was killed"
    other.kill()
    other.wait()
    rig.delete(vm["id"])


def test_one_service_a_state_folder(rig):
    second = subprocess.run([rig.program, "--config", rig.file("vmhost.json")], capture_output=True, text=True, timeout=60)
    assert second.returncode != 0 and "another bivouac-vmhost" in second.stderr


def test_not_as_root(rig):
    done = subprocess.run(["setpriv", "--reuid", "65534", "--clear-groups", rig.program, "--config", rig.file("vmhost.json")],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and "root" in done.stderr


def test_hz14c_a_reset_comes_back(rig):
    """The guest resets itself without ceremony: the same disk, a new machine."""
    vm = rig.create()
    gateway = rig.gateway()
    before, token = rig.machine_of(vm["id"]), gateway.routes[vm["id"]]["agent_token"]
    put = gateway.agent(vm["id"], "PUT", "/runtime/v1/files?path=/workspace/kept", body={"a": 1})
    assert put.status == 200, put
    gateway.spawn(vm["id"], "/bin/sh", "-c", "sync; echo 1 >/proc/sys/kernel/sysrq; echo b >/proc/sysrq-trigger")
    wait.until(lambda: gateway.receive()[0]["t"] == "gone", 20)
    message, _ = gateway.receive()
    assert message["t"] == "route" and message["agent_token"] != token
    assert rig.machine_of(vm["id"]) not in (None, before)
    assert gateway.agent(vm["id"], "GET", "/runtime/v1/files?path=/workspace/kept").text == '{"a": 1}'
    assert rig.vm(vm["id"]).json["vm"]["state"] == "running"
    rig.kill()
    rig.start()
    assert alive(rig, vm), "adopted after its reset like any other"
    gateway.close()
    assert rig.delete(vm["id"]).status == 204
