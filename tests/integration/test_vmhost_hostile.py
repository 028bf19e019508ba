# SPDX-License-Identifier: Apache-2.0
"""Guests and images that mean harm or are broken: bivouac-vmhost gives a clear error, keeps nothing, and serves the others."""
import json
import os
import shutil
import time

import pytest

from support import wait
from support.hostile_image import make
from support.vmhost_rig import VmhostRig


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("images"))
    for parent in (folder, os.path.dirname(folder), os.path.dirname(os.path.dirname(folder))):
        os.chmod(parent, 0o755)
    make(folder)
    return folder


@pytest.fixture(scope="module")
def service(images):
    with VmhostRig(images=images) as rig:
        rig.wait_template()
        yield rig


@pytest.fixture
def rig(service):
    """With the end of the log beside a failure."""
    yield service
    print(service.log_tail(60))


def clean(rig):
    wait.until(lambda: rig.machines() == [] and rig.folders() == [] and rig.journal() == [], 20, what="nothing is left")
    return True


@pytest.mark.parametrize("name", ["close", "refuse", "unauthorized", "notok", "nojson", "endless-head", "endless-body", "huge-length",
                                  "garbage", "panic", "poweroff", "reset"])
def test_hz31_a_hostile_answer_to_init(rig, name):
    began = time.monotonic()
    answer = rig.put(rig.new_id(), hostname=name)
    assert answer.status == 500 and answer.json["error"] == "start_failed", answer
    assert "\x07" not in answer.text
    assert time.monotonic() - began < 25
    assert clean(rig)
    good = rig.create()
    assert rig.delete(good["id"]).status == 204


@pytest.mark.parametrize("name", ["silent", "drip"])
def test_hz31_a_guest_that_stalls_holds_up_nobody(rig, name):
    import threading
    answers = []
    thread = threading.Thread(target=lambda: answers.append(rig.put(rig.new_id(), hostname=name)))
    thread.start()
    time.sleep(1)
    good = rig.create()
    assert rig.delete(good["id"]).status == 204
    thread.join(60)
    assert answers and answers[0].status == 500, answers
    assert clean(rig)


def test_delete_in_the_middle_of_a_create(rig):
    import threading
    vm_id, answers = rig.new_id(), []
    thread = threading.Thread(target=lambda: answers.append(rig.put(vm_id, hostname="silent")))
    thread.start()
    wait.until(lambda: rig.vm(vm_id).status == 200, 5)
    assert rig.vm(vm_id).json["vm"]["state"] == "creating"
    began = time.monotonic()
    assert rig.delete(vm_id).status == 204
    assert time.monotonic() - began < 5, "the create is cut, not waited for"
    thread.join(10)
    assert answers[0].status == 500, answers
    assert clean(rig)


def test_a_new_version_takes_the_place_of_the_old(rig, images):
    """While machines of the old one run; nobody has to restart anything."""
    old = rig.create()
    old_version = rig.template()["version"]
    make(images, version="hostile-2", memory_mb=320)
    wait.until(lambda: rig.template()["version"] == "hostile-2" and rig.template()["status"] == "ready", 120)
    new = rig.create()
    assert new["memory_mb"] == 320 and rig.vm(old["id"]).json["vm"]["state"] == "running"
    gone = rig.put(rig.new_id(), template={"slug": "base", "version": old_version})
    assert gone.status == 404, gone
    assert len(os.listdir(rig.file("state/store/snaps"))) == 2, "the old machine still stands on the old one"
    rig.delete(old["id"])
    rig.delete(new["id"])
    wait.until(lambda: len(os.listdir(rig.file("state/store/snaps"))) == 1, 40, what="the old snapshot goes with its last machine")
    wait.until(lambda: len(os.listdir(rig.file("state/store/blobs"))) == 3, 40)


def test_a_damaged_snapshot_is_made_anew(rig):
    snaps = rig.file("state/store/snaps")
    path = os.path.join(snaps, os.listdir(snaps)[0], "memory")
    rig.stop()
    with open(path, "r+b") as file:
        file.seek(5 << 20)
        byte = file.read(1)
        file.seek(5 << 20)
        file.write(bytes([byte[0] ^ 1]))
    rig.start()
    assert "damaged" in rig.log_tail(200)
    rig.wait_template(120)
    vm = rig.create()
    assert rig.delete(vm["id"]).status == 204


def test_hz15_killed_while_a_template_is_made(rig, images):
    make(images, version="hostile-3", memory_mb=384)
    wait.until(lambda: rig.template()["version"] == "hostile-3" and rig.machines(), 60)
    rig.kill()
    rig.start()
    rig.wait_template(120)
    vm = rig.create()
    assert vm["memory_mb"] == 384 and rig.delete(vm["id"]).status == 204
    assert clean(rig)


@pytest.mark.parametrize("play,words", [("silent", "no answer of the agent"), ("poweroff", "stopped while it was made ready"),
                                        ("noquiesce", "quiesce")])
def test_an_image_that_does_not_come_up(tmp_path, play, words):
    os.chmod(tmp_path, 0o755)
    for parent in (tmp_path.parent, tmp_path.parent.parent):
        os.chmod(parent, 0o755)
    make(str(tmp_path / "images"), play=play)
    with VmhostRig(images=str(tmp_path / "images"), template_boot_s=20) as rig:
        failed = wait.until(lambda: rig.template()["status"] == "failed" and rig.template(), 90)
        assert words in failed["message"], failed
        assert "bivouac.boot=" not in rig.log()
        refused = rig.put(rig.new_id())
        assert refused.status == 422 and refused.json["error"] == "template_error"
        assert os.listdir(rig.file("state/store/snaps")) == [] and os.listdir(rig.file("state/store/tmp")) == []
        assert clean(rig)


def test_a_better_version_heals_a_failed_template(tmp_path):
    for parent in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        os.chmod(parent, 0o755)
    folder = str(tmp_path / "images")
    make(folder, play="noquiesce")
    with VmhostRig(images=folder) as rig:
        wait.until(lambda: rig.template()["status"] == "failed", 90)
        make(folder, version="hostile-2")
        wait.until(lambda: rig.template()["version"] == "hostile-2" and rig.machines(), 60)
        rig.wait_template(60)


def test_images_that_are_not_what_they_say(tmp_path, images):
    for parent in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        os.chmod(parent, 0o755)
    folder = tmp_path / "images"
    shutil.copytree(images, folder)
    with open(folder / "base" / "initramfs.img", "ab") as file:
        file.write(b"x")  # not the bytes of the manifest
    os.makedirs(folder / "broken")
    (folder / "broken" / "manifest.json").write_text("{")
    os.makedirs(folder / "path")
    manifest = json.loads((folder / "base" / "manifest.json").read_text())
    manifest.update(slug="path", kernel="../base/vmlinuz", sha256={**manifest["sha256"], "../base/vmlinuz": "0" * 64})
    (folder / "path" / "manifest.json").write_text(json.dumps(manifest))
    os.makedirs(folder / "nothing")
    with VmhostRig(images=str(folder)) as rig:
        wait.until(lambda: all(t["status"] == "failed" for t in templates(rig).values()) and templates(rig), 60)
        found = templates(rig)
        assert set(found) == {"base", "broken", "path"}
        assert "checksum differs" in found["base"]["message"]
        assert "plain file name" in found["path"]["message"]
        assert rig.get("/health").status == 200
        assert os.listdir(rig.file("state/store/tmp")) == []


def templates(rig):
    return {t["slug"]: t for t in rig.get("/host/v1/templates").json["templates"]}


def test_capacity_is_never_exceeded(images):
    with VmhostRig(images=images, max_vms=2, memory_mb=1000, memory_pct=100) as rig:
        rig.wait_template()
        vms = [rig.create(), rig.create()]
        refused = rig.put(rig.new_id())
        assert refused.status == 503 and refused.json["error"] == "no_capacity", refused
        beat = wait.until(lambda: rig.control.beats[-1] if rig.control.beats[-1]["used"]["vms"] == 2 else None, 5)
        assert beat["capacity"]["vms"] == 2 and beat["used"]["memory_mb"] == 2 * vms[0]["memory_mb"]
        rig.delete(vms[0]["id"])
        vms[0] = rig.create()
        for vm in vms:
            rig.delete(vm["id"])


def test_no_images_then_some(tmp_path, images):
    """A host that has nothing yet says so and takes what comes, without a restart."""
    for parent in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        os.chmod(parent, 0o755)
    folder = tmp_path / "later"
    os.makedirs(folder)
    with VmhostRig(images=str(folder)) as rig:
        assert rig.get("/host/v1/templates").json == {"templates": []}
        shutil.copytree(os.path.join(images, "base"), folder / "base")
        wait.until(lambda: templates(rig).get("base", {}).get("status") == "ready", 90)
        vm = rig.create()
        assert rig.delete(vm["id"]).status == 204
