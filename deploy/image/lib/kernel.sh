# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# kernel - Debian's cloud kernel, taken out of its package; it is not installed on this machine.

KERNEL_META=linux-image-cloud-amd64

# the package that the metapackage stands for
kernel_package() {
    apt-cache depends --no-recommends --no-suggests "$KERNEL_META" 2>/dev/null |
        sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1
}

kernel_key() { hash_text "$1" "$(hash_inputs "$HERE/modules.txt" "$HERE/lib/kernel.sh")"; }

kernel_download() { # PACKAGE DIR
    cd "$2" || return 1
    apt-get -o APT::Sandbox::User=root download "$1" && return
    # the lists may be older than the archive
    apt-get update && apt-get -o APT::Sandbox::User=root download "$(kernel_package)"
}

# names of the modules in loading order, each after what it depends on: one "name path" a line
kernel_module_order() { # MODULES_DIR
    local wanted
    wanted=$(sed -e 's/#.*//' "$HERE/modules.txt" | grep .)
    python3 - "$1" "$wanted" <<'PY'
import os
import re
import sys

root, wanted = sys.argv[1], sys.argv[2].split()


def name_of(path):
    return re.sub(r"\.ko(\.xz|\.gz|\.zst)?$", "", os.path.basename(path)).replace("-", "_")


depends = {}
with open(os.path.join(root, "modules.dep")) as deps:
    for line in deps:
        path, _, rest = line.partition(":")
        depends[name_of(path)] = (path, [name_of(p) for p in rest.split()])
with open(os.path.join(root, "modules.builtin")) as builtin:
    built_in = {name_of(line.strip()) for line in builtin}

order = []


def visit(name, asked_by):
    if name in order:
        return
    if name not in depends:
        if name in built_in:
            return
        sys.exit(f"module '{name}' ({asked_by}) is neither in this kernel nor built in")
    # modules.dep lists the nearest dependency first
    for dependency in reversed(depends[name][1]):
        visit(dependency, f"needed by {name}")
    order.append(name)


for module in wanted:
    visit(module.replace("-", "_"), "modules.txt")
for name in order:
    print(name, depends[name][0])
PY
}

kernel_unpack() { # DEB_DIR
    local tree=$SCRATCH/kernel modules version name path
    dpkg-deb -x "$1"/linux-image-*.deb "$tree"
    version=$(basename "$tree"/lib/modules/*)
    modules=$tree/lib/modules/$version
    [ -f "$modules/modules.dep" ] || depmod --basedir "$tree" "$version"
    kernel_module_order "$modules" >"$SCRATCH/module-order"
    mkdir -p "$SCRATCH/modules"
    while read -r name path; do
        case $path in
            *.ko) cp "$modules/$path" "$SCRATCH/modules/$name.ko" ;;
            *.ko.xz) xz -dc "$modules/$path" >"$SCRATCH/modules/$name.ko" ;;
            *.ko.zst) zstd -dcq "$modules/$path" >"$SCRATCH/modules/$name.ko" ;;
            *) echo "unknown kind of module file: $path" && return 1 ;;
        esac
        echo "$name.ko" >>"$SCRATCH/modules/order"
    done <"$SCRATCH/module-order"
    cp "$tree/boot/vmlinuz-$version" "$SCRATCH/vmlinuz"
    printf '%s\n' "$version" >"$SCRATCH/kernel.version"
    cat "$SCRATCH/modules/order"
}

stage_kernel() {
    local package key deb_dir=$SCRATCH/deb
    package=$(kernel_package)
    if [ -z "$package" ]; then
        apt-get update >/dev/null || true
        package=$(kernel_package)
    fi
    [ -n "$package" ] || die "apt on this machine does not know $KERNEL_META; run apt-get update, see /etc/apt/sources.list*"
    key=$(kernel_key "$package $(apt-cache show --no-all-versions "$package" | sed -n 's/^SHA256: //p' | head -n 1)")
    if [ -z "$FORCE" ] && stamp_is kernel "$key" && [ -f "$DEST/vmlinuz" ] && [ -f "$WORK/modules/order" ]; then
        step_skip "image $TEMPLATE: kernel $(cat "$WORK/kernel.version")" "unchanged"
        return
    fi
    need_tools dpkg-deb python3 depmod
    mkdir -p "$deb_dir"
    step_run "image $TEMPLATE: $package" "$WORK/kernel-download.log" kernel_download "$package" "$deb_dir"
    step_run "image $TEMPLATE: kernel and modules" "$WORK/kernel-unpack.log" kernel_unpack "$deb_dir"
    chmod 0644 "$SCRATCH/vmlinuz"
    mv -f "$SCRATCH/vmlinuz" "$DEST/vmlinuz"
    rm -rf "$WORK/modules"
    mv "$SCRATCH/modules" "$WORK/modules"
    mv -f "$SCRATCH/kernel.version" "$WORK/kernel.version"
    stamp_set kernel "$key"
}
