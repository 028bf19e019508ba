# SPDX-License-Identifier: Apache-2.0
"""What integration and end-to-end tests share: whole private instances, clients, a fault proxy."""
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "deploy", "dev"))
