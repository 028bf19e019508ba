# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# images - the guest image of this checkout's agent; root filesystems are shared between checkouts by their hash.

images_build() { # OUT
    need_root "up and ./dev test"
    "$ROOT/deploy/image/build-image" all --agent "$(build_agent_path)" --out "$1" --cache "$SHARED/cache"
}
