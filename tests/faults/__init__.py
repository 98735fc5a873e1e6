"""Faults, provoked, and what comes after, proven: once each by pytest, many times by `python -m tests.faults`."""

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
ROOT = TESTS.parent
if str(TESTS) not in sys.path:  # `brokers` and `embedded` lie there; pytest finds them by its own rule
    sys.path.insert(0, str(TESTS))
