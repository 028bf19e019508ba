# SPDX-License-Identifier: Apache-2.0
"""hostile_image - template images around hostile_guest.c: the kernel, modules and root disk of `base`, another /init."""
import hashlib
import json
import os
import shutil
import subprocess
import tempfile

from support import ROOT
from support.cluster import IMAGES


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def make(folder, slug="base", version="hostile-1", play="", memory_mb=256, cpu_count=1):
    """An image folder `folder`/`slug`; play: what it does wrong already while the template is made."""
    base, dest = os.path.join(IMAGES, "base"), os.path.join(folder, slug)
    os.makedirs(dest, exist_ok=True)
    os.chmod(folder, 0o755)
    with open(os.path.join(base, "manifest.json")) as file:
        manifest = json.load(file)
    for name in (manifest["kernel"], manifest["rootfs"]):
        target = os.path.join(dest, name)
        if not os.path.exists(target):
            try:
                os.link(os.path.join(base, name), target)
            except OSError:
                shutil.copy(os.path.join(base, name), target)
    with tempfile.TemporaryDirectory() as tree:
        with open(os.path.join(base, manifest["initrd"]), "rb") as archive:
            subprocess.run(["cpio", "-id", "--quiet"], stdin=archive, cwd=tree, check=True)
        subprocess.run(["gcc", "-O1", "-static", "-pthread", "-D_GNU_SOURCE", "-o", os.path.join(tree, "init"),
                        os.path.join(ROOT, "tests", "support", "hostile_guest.c")], check=True)
        with open(os.path.join(dest, "initramfs.new"), "wb") as out:
            subprocess.run("find . -print0 | cpio --null --create --format=newc --quiet", shell=True, cwd=tree, stdout=out, check=True)
    os.replace(os.path.join(dest, "initramfs.new"), os.path.join(dest, manifest["initrd"]))
    manifest.update(slug=slug, version=version, memory_mb=memory_mb, cpu_count=cpu_count)
    if play:
        manifest["cmdline"] += f" play={play}"
    sums = {manifest[k]: sha256(os.path.join(dest, manifest[k])) for k in ("kernel", "initrd", "rootfs")}
    manifest["sha256"] = sums
    with open(os.path.join(dest, "manifest.new"), "w") as out:
        json.dump(manifest, out)
    os.replace(os.path.join(dest, "manifest.new"), os.path.join(dest, "manifest.json"))
    return dest
