# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# packages - installs the Debian packages of packages.txt that are missing.

packages_of() { # GROUP...
    local group
    for group in "$@"; do
        awk -v group="[$group]" '
            { sub(/#.*/, ""); gsub(/[ \t]+/, "") }
            /^\[/ { wanted = ($0 == group); next }
            wanted && $0 != "" { print }' "$DEV/packages.txt"
    done
}

packages_missing() { # PACKAGE...
    local have
    # it fails when it does not know one of them
    have=$({ dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null || true; } | sed -n 's/^installed //p')
    comm -23 <(printf '%s\n' "$@" | LC_ALL=C sort -u) <(printf '%s\n' "$have" | LC_ALL=C sort -u)
}

# Services of new packages (a system PostgreSQL, Redis, nginx) are not wanted: ours are private. They are neither started nor enabled.
packages_install_quietly() { # PACKAGE...
    local policy=/usr/sbin/policy-rc.d ours='' rc=0 service
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 0755 "$policy"
        ours=1
    fi
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends -o Dpkg::Options::=--force-confold "$@" || rc=$?
    if [ -n "$ours" ]; then rm -f "$policy"; fi
    [ "$rc" -eq 0 ] || return "$rc"
    if [ -d /run/systemd/system ]; then
        for service in postgresql-15:postgresql redis-server:redis-server nginx-light:nginx; do
            case " $* " in *" ${service%%:*} "*) systemctl disable --quiet "${service#*:}" || true ;; esac
        done
    fi
}

packages_apt() { # PACKAGE...
    # the lists of a fresh machine are empty or old
    packages_install_quietly "$@" && return
    apt-get update && packages_install_quietly "$@"
}

packages_ensure() { # GROUP...
    local missing
    mapfile -t missing < <(packages_missing $(packages_of "$@"))
    if [ "${#missing[@]}" -eq 0 ]; then
        step_skip "Debian packages" "all there"
        return
    fi
    [ "$(id -u)" -eq 0 ] || die "these Debian packages are missing, run as root or install them: ${missing[*]}"
    command -v apt-get >/dev/null || die "this needs Debian 12; apt-get is missing"
    step_run "Debian packages (${#missing[@]} missing)" "$LOGS/packages.log" packages_apt "${missing[@]}" ||
        die "apt could not install: ${missing[*]}; see $LOGS/packages.log"
}

# Names under the sandbox domain must resolve on this machine, also for programs that ask glibc (Python, Node).
packages_check_names() { # DOMAIN
    if getent hosts "probe.sandbox.$1" >/dev/null; then return; fi
    if [ "$1" = localhost ] && ! grep -q '^hosts:.*myhostname' /etc/nsswitch.conf; then
        sed -i 's/^\(hosts:.*files\)/\1 myhostname/' /etc/nsswitch.conf
        if getent hosts "probe.sandbox.$1" >/dev/null; then return; fi
    fi
    warn "names under sandbox.$1 do not resolve on this machine; give your DNS a wildcard record *.sandbox.$1"
}
