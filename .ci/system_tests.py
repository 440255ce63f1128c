"""Print how many system tests ran, and fail on a skip that nobody asked for.

A skip is asked for where ENM_ALLOW_SKIP is set to words that its reason contains.
"""

from __future__ import annotations

import os
import sys
import xml.etree.ElementTree as ET

report = ET.parse(sys.argv[1])  # noqa: S314 - pytest wrote it a moment ago
cases = list(report.iter("testcase"))
reasons = [skipped.get("message", "") for case in cases for skipped in case.iter("skipped")]
asked_for = os.environ.get("ENM_ALLOW_SKIP", "")
why = "; ".join(sorted(set(reasons))) or "none"
print(f"system tests: {len(cases) - len(reasons)} ran, {len(reasons)} skipped ({why})")  # noqa: T201 - its purpose
sys.exit(any(not asked_for or asked_for not in reason for reason in reasons) or len(cases) == len(reasons))
