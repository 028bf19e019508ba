# SPDX-License-Identifier: Apache-2.0
"""bivouac-vmhost on a disk that fills up: no new machines, running ones wait and lose nothing."""
import hashlib
import os
import re

from support import wait
from support.vmhost_rig import VmhostRig


def io_errors(rig):
    return int(re.search(r"bivouac_vmhost_vm_io_errors_total (\d+)", rig.get("/metrics").text).group(1))


def free_mb(rig):
    fs = os.statvfs(rig.file("state"))
    return fs.f_bavail * fs.f_frsize // 2 ** 20


def fill(rig, leave_mb):
    with open(rig.file("state/ballast"), "wb") as out:
        for _ in range(free_mb(rig) - leave_mb):
            out.write(b"\xaa" * 2 ** 20)


def test_hz18_a_full_disk_stops_nobody_for_good():
    with VmhostRig(disk_mb=2300) as rig:
        rig.wait_template()
        vm = rig.create()
        wait.until(lambda: os.path.exists(rig.file("state/vms/.reserve")), 90, what="the reserve file")
        gateway = rig.gateway()
        fill(rig, 25)
        refused = rig.put(rig.new_id())
        assert refused.status == 503 and refused.json["error"] == "no_capacity", refused
        assert rig.vm(vm["id"]).json["vm"]["state"] == "running"
        script = "cd /workspace && head -c 200000000 /dev/urandom >big && sync && sha256sum <big >sum.new && sync && mv sum.new sum"
        gateway.spawn(vm["id"], "/bin/sh", "-c", script)
        wait.until(lambda: io_errors(rig) >= 1, 60, what="a write that fails")
        wait.until(lambda: not os.path.exists(rig.file("state/vms/.reserve")), 10, what="the reserve is given up")
        wait.until(lambda: free_mb(rig) < 10, 60)
        assert rig.vm(vm["id"]).json["vm"]["state"] == "running", "it waits, it is not ended"
        # a restart of the service in the middle of it changes nothing
        rig.kill()
        rig.start()
        assert rig.vm(vm["id"]).json["vm"]["state"] == "running"
        os.unlink(rig.file("state/ballast"))
        gateway.close()
        gateway = rig.gateway()
        digest = wait.until(lambda: finished(gateway, vm), 120, 0.5, what="the guest goes on")
        big = gateway.agent(vm["id"], "GET", "/runtime/v1/files?path=/workspace/big", timeout=120)
        assert hashlib.sha256(big.body).hexdigest() == digest, "nothing was lost"
        assert rig.put(rig.new_id()).status == 200, "and there is room again"
        assert rig.delete(vm["id"]).status == 204
        gateway.close()
        for one in rig.get("/host/v1/vms").json["vms"]:
            rig.delete(one["id"])


def test_a_disk_too_small_for_a_template_is_said():
    with VmhostRig(disk_mb=1300) as rig:
        failed = wait.until(lambda: rig.template()["status"] == "failed" and rig.template(), 90)
        assert "must be free" in failed["message"], failed
        refused = rig.call("PUT", f"/host/v1/vms/{rig.new_id()}", rig.spec())
        assert refused.status == 422 and refused.json["error"] == "template_error", refused
        assert os.listdir(rig.file("state/store/snaps")) == [] and os.listdir(rig.file("state/store/tmp")) == []


def finished(gateway, vm):
    answer = gateway.agent(vm["id"], "GET", "/runtime/v1/files?path=/workspace/sum", timeout=5)
    return answer.text.split()[0] if answer.status == 200 and answer.text else None
