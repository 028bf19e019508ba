# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# rootfs - Debian packages to an ext4 file system in a qcow2 file.
# Package sources, keys and the way to the network are the machine's own: whatever works for `apt` here works for the image.

# "deb URI SUITE COMPONENT" for each source of the Debian archive that this machine uses, by what its Release files say
rootfs_sources() {
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)' 'Created-By: Packages' |
        awk -v suite="$TEMPLATE_SUITE" '
            $4 == "Debian" && ($2 == suite || $2 == suite "-updates" || $2 == suite "-security") && $3 == "main" {
                print "deb", $1, $2, $3 }' |
        LC_ALL=C sort -u
}

# options of the machine's apt that decide whether the network and the archive's dates are accepted
rootfs_apt_options() {
    apt-config dump | grep -E '^Acquire::((http|https|ftp)::|Check-Valid-Until|Check-Date|Retries|ForceIPv[46])' | grep -v ' "";$' || true
}

rootfs_packages() { sed -e 's/#.*//' "$HERE/$TEMPLATE/packages.txt" | tr -s ' \t\n' '\n' | grep . ; }

rootfs_key() {
    hash_text "$(hash_inputs "$HERE/$TEMPLATE" "$HERE/lib/rootfs.sh")" "$(dpkg --print-architecture)"
}

rootfs_bootstrap() { # TREE
    local tree=$1 sources keyrings=$SCRATCH/keyrings apt_conf=$SCRATCH/apt.conf
    sources=$(rootfs_sources)
    if [ -z "$sources" ]; then
        apt-get update
        sources=$(rootfs_sources)
    fi
    if [ -z "$sources" ]; then
        echo "apt on this machine has no source of Debian $TEMPLATE_SUITE main; see /etc/apt/sources.list*"
        return 1
    fi
    printf '%s\n' "$sources"
    mkdir -p "$keyrings"
    cp /etc/apt/trusted.gpg.d/*.gpg /etc/apt/trusted.gpg.d/*.asc /usr/share/keyrings/debian-archive-keyring.gpg "$keyrings/" 2>/dev/null || true
    {
        rootfs_apt_options
        echo 'APT::Sandbox::User "root";'
    } >"$apt_conf"
    # a mount namespace of its own: whatever happens, no mount is left behind
    unshare --mount --propagation private mmdebstrap \
        --mode=root --variant=minbase --format=directory \
        --include="$(rootfs_packages | paste -sd,)" \
        --keyring="$keyrings" --aptopt="$apt_conf" \
        --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/info/*' \
        --dpkgopt='path-exclude=/usr/share/lintian/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-include=/usr/share/locale/locale.alias' \
        --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-include=/usr/share/doc/*/copyright' \
        --customize-hook="cp -RT --preserve=mode '$HERE/$TEMPLATE/files' \"\$1\"" \
        --customize-hook="cp '$HERE/$TEMPLATE/customize' \"\$1/customize\"" \
        --customize-hook="chroot \"\$1\" env TEMPLATE_USER=$TEMPLATE_USER TEMPLATE_UID=$TEMPLATE_UID TEMPLATE_WORKDIR=$TEMPLATE_WORKDIR /customize" \
        --customize-hook='rm "$1/customize" "$1/etc/apt/apt.conf.d/99mmdebstrap"' \
        --skip=output/dev \
        "$TEMPLATE_SUITE" "$tree" - <<<"$sources"
    find "$tree/tmp" "$tree/var/tmp" -mindepth 1 -delete
}

# Inode tables and the journal are written as zeroes now (holes in the file), or each guest would do it again in its own overlay.
rootfs_make_ext4() { # TREE RAW
    truncate -s "${TEMPLATE_DISK_MB}M" "$2"
    mke2fs -q -t ext4 -d "$1" -L root -m 1 -J size=32 -i 16384 \
        -E lazy_itable_init=0,lazy_journal_init=0,nodiscard -F "$2"
    e2fsck -fn "$2"
}

rootfs_make_qcow2() { # RAW QCOW2
    qemu-img convert -f raw -O qcow2 -o compat=1.1,cluster_size=64k "$1" "$2"
    qemu-img check -q "$2"
}

# .packages lists what is inside, for whoever asks later
rootfs_record() { # TREE FILE
    dpkg-query --admindir="$1/var/lib/dpkg" --show --showformat '${Package} ${Version}\n' | LC_ALL=C sort >"$2"
}

rootfs_publish() { # QCOW2 KEY
    sync "$1"
    chmod 0644 "$1"
    mv -f "$1" "$DEST/rootfs.qcow2"
    date -u +%Y-%m-%d >"$WORK/rootfs.date"
    stamp_set rootfs "$2"
}

rootfs_from_cache() { # KEY
    [ -n "$CACHE" ] && [ -f "$CACHE/rootfs-$1.qcow2" ] || return 1
    cp --reflink=auto --sparse=always "$CACHE/rootfs-$1.qcow2" "$SCRATCH/rootfs.qcow2"
    cp "$CACHE/rootfs-$1.packages" "$WORK/rootfs.packages"
    rootfs_publish "$SCRATCH/rootfs.qcow2" "$1"
    cp "$CACHE/rootfs-$1.date" "$WORK/rootfs.date"
}

rootfs_to_cache() { # KEY
    [ -n "$CACHE" ] || return 0
    mkdir -p "$CACHE"
    cp "$WORK/rootfs.packages" "$CACHE/rootfs-$1.packages"
    cp "$WORK/rootfs.date" "$CACHE/rootfs-$1.date"
    cp --reflink=auto --sparse=always "$DEST/rootfs.qcow2" "$CACHE/.rootfs-$1.$$"
    mv -f "$CACHE/.rootfs-$1.$$" "$CACHE/rootfs-$1.qcow2"
    # the three newest are enough for branches that differ
    ls -t "$CACHE"/rootfs-*.qcow2 | tail -n +4 | while read -r old; do rm -f "$old" "${old%.qcow2}".{packages,date}; done
}

stage_rootfs() {
    local key tree=$SCRATCH/tree
    key=$(rootfs_key)
    if [ -z "$FORCE" ] && stamp_is rootfs "$key" && [ -f "$DEST/rootfs.qcow2" ]; then
        step_skip "image $TEMPLATE: root filesystem" "unchanged"
        return
    fi
    if [ -z "$FORCE" ] && rootfs_from_cache "$key"; then
        step_skip "image $TEMPLATE: root filesystem" "from $CACHE"
        return
    fi
    need_tools mmdebstrap mke2fs e2fsck qemu-img unshare
    step_run "image $TEMPLATE: Debian packages" "$WORK/rootfs-packages.log" rootfs_bootstrap "$tree"
    rootfs_record "$tree" "$WORK/rootfs.packages"
    step_run "image $TEMPLATE: ext4 ($(du -sm "$tree" | cut -f1) MB of files)" "$WORK/rootfs-ext4.log" rootfs_make_ext4 "$tree" "$SCRATCH/root.ext4"
    rm -rf --one-file-system "$tree"
    step_run "image $TEMPLATE: qcow2" "$WORK/rootfs-qcow2.log" rootfs_make_qcow2 "$SCRATCH/root.ext4" "$SCRATCH/rootfs.qcow2"
    rm -f "$SCRATCH/root.ext4"
    rootfs_publish "$SCRATCH/rootfs.qcow2" "$key"
    rootfs_to_cache "$key"
}
