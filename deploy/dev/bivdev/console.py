# SPDX-License-Identifier: Apache-2.0
"""console - progress lines in the style of deploy/lib/progress.sh."""
import contextlib
import os
import sys
import time

COLOUR = sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def paint(code, text):
    return f"\033[{code}m{text}\033[0m" if COLOUR else text


def bold(text):
    return paint("1", text)


def dim(text):
    return paint("2", text)


def green(text):
    return paint("32", text)


def red(text):
    return paint("31", text)


def cyan(text):
    return paint("36", text)


def title(text):
    print("\n" + bold(text), flush=True)


def done(label, note=""):
    print(f"  {green('✓')} {label:<44} {dim(f'{note:>8}')}", flush=True)


def failed(label, note=""):
    print(f"  {red('✗')} {label:<44} {note:>8}", flush=True)


class Step:
    """Shows the elapsed time while something runs. On a terminal one line is redrawn, else a line comes every 10 s."""

    def __init__(self, label):
        self.label = label
        self.begin = time.monotonic()
        self.shown = 0

    @property
    def seconds(self):
        return time.monotonic() - self.begin

    def tick(self, hint=""):
        if sys.stdout.isatty():
            print(f"\r\033[K  {cyan('…')} {self.label:<44} {dim(f'{self.seconds:6.1f} s  {hint[:60]}')}", end="", flush=True)
        elif self.seconds - self.shown >= 10:
            self.shown = self.seconds
            print(f"  … {self.label:<44} {self.seconds:6.1f} s  {hint[:60]}", flush=True)

    def clear(self):
        if sys.stdout.isatty():
            print("\r\033[K", end="", flush=True)


@contextlib.contextmanager
def step(label):
    current = Step(label)
    current.tick()
    try:
        yield current
    except BaseException:
        current.clear()
        failed(label, f"{current.seconds:.1f} s")
        raise
    current.clear()
    done(label, f"{current.seconds:.1f} s")
