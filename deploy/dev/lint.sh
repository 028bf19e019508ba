# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# lint - format and the rules that a program can check.

lint_files() { git -C "$ROOT" ls-files --cached --others --exclude-standard -- "$@"; }

cmd_fmt() {
    packages_ensure lint
    (cd "$ROOT" && lint_files '*.c' '*.h' | xargs -r clang-format -i)
    step_skip "clang-format" "done"
}

cmd_tidy() {
    packages_ensure build test lint
    build_step dev "build: dev (compile commands)" all
    local rc=0
    /usr/bin/python3 "$ROOT/tests/tidy/tidy.py" "$ROOT" || rc=1
    /usr/bin/python3 "$ROOT/tests/tidy/config_docs.py" "$ROOT/build/dev/bin" || rc=1
    # variables that a sourced file uses, and lists that are meant to be split
    (cd "$ROOT" && shellcheck -S warning -e SC2034,SC2046 -x dev .ci/run deploy/image/build-image $(lint_files 'deploy/*.sh')) || rc=1
    (cd "$ROOT" && lint_files 'common/*.c' 'control/*.c' 'dataplane/*.c' 'agent/*.c' |
        xargs -r -n 8 -P "$(build_jobs)" clang-tidy --quiet -p build/dev --warnings-as-errors='*') || rc=1
    return "$rc"
}
