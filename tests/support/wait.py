# SPDX-License-Identifier: Apache-2.0
"""wait - until something is true, with a deadline and the reason when it never is."""
import time


def until(check, timeout_s=10, every_s=0.05, what=None):
    """The first true value of check(); an exception of check() counts as false and is told at the end."""
    end = time.monotonic() + timeout_s
    while True:
        problem = None
        try:
            value = check()
            if value:
                return value
        except Exception as error:  # noqa: BLE001 - whatever went wrong may be right in a moment
            value, problem = None, error
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout_s} s: {what or check} (last: {problem or value!r})") from problem
        time.sleep(every_s)
