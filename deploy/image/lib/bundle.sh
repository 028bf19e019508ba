# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# bundle - the initramfs and the manifest that ties the files together.
# In the initramfs: /init (the agent), /modules/*.ko, /modules/order (one file name a line, loaded in this order).

BUNDLE_CMDLINE='console=ttyS0 quiet reboot=t panic=-1 random.trust_cpu=on init_on_free=1 net.ifnames=0'

initramfs_pack() { # TREE IMAGE
    (
        cd "$1" || exit 1
        find . -exec touch -h -d @0 {} +
        find . -print0 | LC_ALL=C sort -z | cpio --null --create --format=newc --owner=0:0 --reproducible --quiet
    ) >"$2"
}

initramfs_is_static() { ! readelf -lW "$1" 2>/dev/null | grep -q 'INTERP'; }

stage_initramfs() {
    local key tree=$SCRATCH/initramfs
    [ -n "$AGENT" ] || die "--agent PATH is required"
    [ -f "$AGENT" ] || die "no agent at $AGENT"
    [ -f "$WORK/modules/order" ] || die "run the kernel stage first"
    need_tools cpio readelf
    initramfs_is_static "$AGENT" || die "$AGENT is not statically linked; it could not start in the initramfs"
    key=$(hash_text "$(sha256sum <"$AGENT")" "$(hash_inputs "$WORK/modules" "$HERE/lib/bundle.sh")")
    if [ -z "$FORCE" ] && stamp_is initramfs "$key" && [ -f "$DEST/initramfs.img" ]; then
        step_skip "image $TEMPLATE: initramfs" "unchanged"
        return
    fi
    mkdir -p "$tree"/{dev,proc,sys,run,modules,newroot}
    cp "$WORK"/modules/* "$tree/modules/"
    chmod 0644 "$tree"/modules/*
    install -m 0755 "$AGENT" "$tree/init"
    step_run "image $TEMPLATE: initramfs" "$WORK/initramfs.log" initramfs_pack "$tree" "$SCRATCH/initramfs.img"
    chmod 0644 "$SCRATCH/initramfs.img"
    mv -f "$SCRATCH/initramfs.img" "$DEST/initramfs.img"
    stamp_set initramfs "$key"
}

# The version names one set of bytes: the day of the root filesystem and a short hash of all three files.
manifest_write() { # FILE
    TEMPLATE=$TEMPLATE NAME=$TEMPLATE_NAME DESCRIPTION=$TEMPLATE_DESCRIPTION TEMPLATE_USER=$TEMPLATE_USER WORKDIR=$TEMPLATE_WORKDIR \
        CPU_COUNT=$TEMPLATE_CPU_COUNT MEMORY_MB=$TEMPLATE_MEMORY_MB DISK_MB=$TEMPLATE_DISK_MB CMDLINE=$BUNDLE_CMDLINE \
        DAY=$(cat "$WORK/rootfs.date") KERNEL_VERSION=$(cat "$WORK/kernel.version") \
        python3 - "$DEST" "$1" <<'PY'
import hashlib
import json
import os
import sys

folder, target = sys.argv[1:]
env = os.environ


def sha256(name):
    digest = hashlib.sha256()
    with open(os.path.join(folder, name), "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


sums = {name: sha256(name) for name in ("vmlinuz", "initramfs.img", "rootfs.qcow2")}
settings = {
    "name": env["NAME"],
    "description": env["DESCRIPTION"],
    "architecture": "x86_64",
    "kernel": "vmlinuz",
    "initrd": "initramfs.img",
    "rootfs": "rootfs.qcow2",
    "kernel_version": env["KERNEL_VERSION"],
    "cmdline": env["CMDLINE"],
    "default_user": env["TEMPLATE_USER"],
    "workdir": env["WORKDIR"],
    "cpu_count": int(env["CPU_COUNT"]),
    "memory_mb": int(env["MEMORY_MB"]),
    "disk_mb": int(env["DISK_MB"]),
    "sha256": sums,
}
digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:10]
with open(target, "w") as out:
    json.dump({"slug": env["TEMPLATE"], "version": f"{env['DAY']}-{digest}", **settings}, out, indent=2)
    out.write("\n")
PY
}

stage_manifest() {
    local file
    for file in vmlinuz initramfs.img rootfs.qcow2; do
        [ -f "$DEST/$file" ] || die "$DEST/$file is missing; run the other stages first"
    done
    local key
    key=$(hash_text "$(cat "$WORK"/{rootfs,kernel,initramfs}.stamp)" "$(hash_inputs "$HERE/$TEMPLATE/template.conf" "$HERE/lib/bundle.sh")")
    if [ -z "$FORCE" ] && stamp_is manifest "$key" && [ -f "$DEST/manifest.json" ]; then
        step_skip "image $TEMPLATE: manifest" "$(manifest_version)"
        return
    fi
    manifest_write "$SCRATCH/manifest.json"
    chmod 0644 "$SCRATCH/manifest.json"
    mv -f "$SCRATCH/manifest.json" "$DEST/manifest.json"
    stamp_set manifest "$key"
    step_skip "image $TEMPLATE: manifest" "$(manifest_version)"
}

manifest_version() { sed -n 's/^  "version": "\(.*\)",$/\1/p' "$DEST/manifest.json"; }
