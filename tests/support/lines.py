# SPDX-License-Identifier: Apache-2.0
"""lines - a guest program that prints numbered lines, and the check that each arrived once and in order."""


def program(count, pause_s=0.01, exit_code=0, width=0):
    """argv of python3 that prints `count` numbered lines, `pause_s` apart, and ends with `exit_code`."""
    code = (f"import sys, time\nfor i in range({count}):\n    sys.stdout.write('%07d' % i + 'x' * {width} + '\\n')\n"
            f"    sys.stdout.flush()\n    time.sleep({pause_s})\nsys.exit({exit_code})")
    return ("python3", "-c", code)


def check(output, count):
    """Every line from 0 to count-1 exactly once, in order."""
    numbers = [int(line[:7]) for line in output.splitlines()]
    assert len(numbers) == len(set(numbers)), f"repeated: {[n for n in set(numbers) if numbers.count(n) > 1][:10]}"
    missing = sorted(set(range(count)) - set(numbers))
    assert not missing, f"{len(missing)} lines lost, the first: {missing[:10]}"
    assert numbers == list(range(count)), "out of order"
