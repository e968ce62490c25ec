"""How often each fault is injected: few times in everyday slow tests, 100 with `make test-faults`."""

from __future__ import annotations

import os

TIMES = int(os.environ.get("SHIFTPROOF_FAULTS", "3"))
