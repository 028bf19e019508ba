# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# progress - says what a long script is doing.
#   say, note, warn, die           one line each
#   step_run LABEL LOG CMD...      runs CMD with its output in LOG; shows the elapsed time while it runs, the tail of LOG when it fails
#   step_skip LABEL [WHY]          the line of a step that had nothing to do
# On a terminal the line of a running step is redrawn; else a line appears every 10 seconds.

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    C_BOLD=$'\e[1m' C_DIM=$'\e[2m' C_RED=$'\e[31m' C_GREEN=$'\e[32m' C_YELLOW=$'\e[33m' C_CYAN=$'\e[36m' C_OFF=$'\e[0m'
else
    C_BOLD='' C_DIM='' C_RED='' C_GREEN='' C_YELLOW='' C_CYAN='' C_OFF=''
fi

say() { printf '%s\n' "$*"; }
note() { printf '  %s%s%s\n' "$C_DIM" "$*" "$C_OFF"; }
title() { printf '\n%s%s%s\n' "$C_BOLD" "$*" "$C_OFF"; }
warn() { printf '%swarning:%s %s\n' "$C_YELLOW" "$C_OFF" "$*" >&2; }
die() {
    printf '%serror:%s %s\n' "$C_RED" "$C_OFF" "$*" >&2
    exit 1
}

now_ms() {
    local t=${EPOCHREALTIME/[.,]/}
    printf '%s' "$((t / 1000))"
}

# seconds with one decimal since $1 (ms)
since_s() {
    local d=$(($(now_ms) - $1))
    printf '%d.%d s' $((d / 1000)) $((d % 1000 / 100))
}

step_done() { printf '  %s✓%s %-44s %s%8s%s\n' "$C_GREEN" "$C_OFF" "$1" "$C_DIM" "$2" "$C_OFF"; }
step_skip() { printf '  %s✓%s %-44s %s%s%s\n' "$C_GREEN" "$C_OFF" "$1" "$C_DIM" "${2:-nothing to do}" "$C_OFF"; }
step_fail() { printf '  %s✗%s %-44s %8s\n' "$C_RED" "$C_OFF" "$1" "$2"; }

# last line of a log that has letters in it, cut to fit
step_hint() {
    local line
    line=$(tail -c 4096 "$1" 2>/dev/null | tr '\r' '\n' | grep '[[:alpha:]]' | tail -n 1 | tr -cd '[:print:]')
    printf '%s' "${line:0:72}"
}

step_watch() { # LABEL LOG PID START_MS
    local label=$1 log=$2 pid=$3 start=$4 ticks=0
    while kill -0 "$pid" 2>/dev/null; do
        # read with a timeout from a descriptor that never has data: a sleep that needs no process
        read -r -t 0.1 -u "$STEP_IDLE_FD" || true
        ticks=$((ticks + 1))
        if [ -t 1 ]; then
            printf '\r\e[K  %s…%s %-44s %s%8s  %s%s' "$C_CYAN" "$C_OFF" "$label" "$C_DIM" "$(since_s "$start")" "$(step_hint "$log")" "$C_OFF"
        elif [ $((ticks % 100)) -eq 0 ]; then
            printf '  … %-44s %8s  %s\n' "$label" "$(since_s "$start")" "$(step_hint "$log")"
        fi
    done
    if [ -t 1 ]; then printf '\r\e[K'; fi
}

step_run() {
    local label=$1 log=$2 start pid rc=0
    shift 2
    start=$(now_ms)
    mkdir -p "$(dirname "$log")"
    : >"$log"
    exec {STEP_IDLE_FD}<> <(:)
    "$@" >>"$log" 2>&1 </dev/null &
    pid=$!
    STEP_PID=$pid
    step_watch "$label" "$log" "$pid" "$start"
    wait "$pid" || rc=$?
    STEP_PID=
    exec {STEP_IDLE_FD}<&-
    if [ "$rc" -eq 0 ]; then
        step_done "$label" "$(since_s "$start")"
        return 0
    fi
    step_fail "$label" "$(since_s "$start")"
    printf '%s\n' "  ---- last lines of $log" >&2
    tail -n 25 "$log" | sed 's/^/  | /' >&2
    return "$rc"
}
