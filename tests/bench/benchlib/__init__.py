# SPDX-License-Identifier: Apache-2.0
"""benchlib - what bench.py measures with. See docs/benchmarks.md for what came out."""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
DEV = os.path.join(ROOT, "deploy", "dev")
if DEV not in sys.path:
    sys.path.insert(0, DEV)


class Unavailable(Exception):
    """This row cannot be measured now; the report says why instead of a number."""
