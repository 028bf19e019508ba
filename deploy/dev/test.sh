# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# test - runs the suites. Daemons and unit tests are built with ASan and UBSan; the guest agent is the static one.

TEST_PRESET=asan-ubsan
# The quarantine is kept small, so that tests of flat memory can see a leak through it.
SANITIZER_ENV=(
    ASAN_OPTIONS=quarantine_size_mb=16:abort_on_error=1:detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1
    UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
)

test_ctest() { # LABEL [EXPR]
    local args=(--test-dir "$ROOT/build/$TEST_PRESET" -L "$1" --output-on-failure -j "$(build_jobs)" --timeout 300 --no-tests=error)
    [ -z "${2:-}" ] || args+=(-R "$2")
    env "${SANITIZER_ENV[@]}" ctest "${args[@]}"
}

test_pytest() { # FOLDER [EXPR]
    local args=(-p no:cacheprovider -ra --durations=8 --color="$([ -t 1 ] && echo yes || echo no)")
    [ -z "${2:-}" ] || args+=(-k "$2")
    env "${SANITIZER_ENV[@]}" PYTHONDONTWRITEBYTECODE=1 BIVOUAC_BUILD_DIR="$ROOT/build/$TEST_PRESET" \
        BIVOUAC_IMAGES_DIR="$TEST_IMAGES" /usr/bin/python3 -m pytest "${args[@]}" "$ROOT/tests/$1"
}

# Every suite prints its own summary line; the first failure does not hide the others.
test_suite() { # NAME [EXPR]
    local log=$LOGS/test-$1.log
    title "tests: $1"
    case $1 in
        unit | fuzz) test_ctest "$1" "${2:-}" ;;
        integration | e2e) test_pytest "$1" "${2:-}" ;;
    esac 2>&1 | tee "$log"
    return "${PIPESTATUS[0]}"
}

# the runners' own last words, once more at the end of everything
test_summary() { # SUITE...
    local suite
    title "summary"
    for suite in "$@"; do
        printf '%s: ' "$suite"
        grep -aE '^[0-9]+% tests passed|^(.\[[0-9;]*m)*=+ .*(passed|failed|error|no tests ran).* in ' "$LOGS/test-$suite.log" | tail -n 1 || echo "no summary; see $LOGS/test-$suite.log"
    done
}

test_prepare() { # SUITE...
    build_step "$TEST_PRESET" "build: tests and daemons (ASan, UBSan)" all
    case " $* " in
        *' integration '* | *' e2e '*)
            packages_ensure image run
            build_step agent-static "build: guest agent (static)" bivouac-agent
            images_build "$TEST_IMAGES"
            ;;
    esac
}

test_parse() {
    SUITES=() EXPR=''
    while [ $# -gt 0 ]; do
        case $1 in
            unit | fuzz | integration | e2e) SUITES+=("$1") ;;
            all) SUITES+=(unit fuzz integration e2e) ;;
            -k) EXPR=${2:?-k wants an expression} && shift ;;
            *) die "unknown suite '$1': unit, fuzz, integration, e2e, all" ;;
        esac
        shift
    done
    [ "${#SUITES[@]}" -gt 0 ] || SUITES=(unit fuzz integration e2e)
}

cmd_test() {
    local suite failed=()
    test_parse "$@"
    TEST_IMAGES=$SHARED/test-images
    packages_ensure build test
    test_prepare "${SUITES[@]}"
    for suite in "${SUITES[@]}"; do
        test_suite "$suite" "$EXPR" || failed+=("$suite")
    done
    test_summary "${SUITES[@]}"
    [ "${#failed[@]}" -eq 0 ] || die "failed: ${failed[*]}"
}
