# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# build - CMake and Ninja, one folder a preset: release (what ./dev up runs), asan-ubsan (what tests run), dev, fuzz.

build_jobs() { printf '%s' "${BIVOUAC_JOBS:-$(nproc)}"; }

build_configure() { # PRESET
    local folder=$ROOT/build/$1
    [ -f "$folder/build.ninja" ] || cmake -S "$ROOT" --preset "$1"
}

build_preset() { # PRESET TARGET...
    local preset=$1
    shift
    build_configure "$preset" && ninja -C "$ROOT/build/$preset" -j "$(build_jobs)" "$@"
}

# The guest's agent is the same in every environment: static, optimised, without sanitizers.
build_agent() { build_preset agent-static bivouac-agent; }
build_agent_path() { printf '%s' "$ROOT/build/agent-static/bin/bivouac-agent"; }

build_step() { # PRESET LABEL TARGET...
    local preset=$1 label=$2
    shift 2
    step_run "$label" "$LOGS/build-$preset.log" build_preset "$preset" "$@" || die "the build failed; see $LOGS/build-$preset.log"
}

build_all_for_up() {
    build_step release "build: daemons (optimised)" all
    build_step agent-static "build: guest agent (static)" bivouac-agent
}

cmd_build() {
    packages_ensure build test
    case ${1:-up} in
        up) build_all_for_up ;;
        dev | release | asan-ubsan | fuzz | agent-static) build_step "$1" "build: $1" all ;;
        *) die "unknown preset '$1': dev, release, asan-ubsan, fuzz, agent-static" ;;
    esac
}
