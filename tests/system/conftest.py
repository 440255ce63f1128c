"""What the system tests need of the machine: root on Linux, and namespaces."""

from __future__ import annotations

import os
import shutil
import sys

import pytest


@pytest.fixture(autouse=True)
def _root_on_linux() -> None:
    """Skip where the test cannot run; ``.ci/run`` fails on a skip that nobody asked for."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root on Linux may mount and make network namespaces")
    missing = [name for name in ("unshare", "ip", "mount") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"this machine has no {', '.join(missing)}")
