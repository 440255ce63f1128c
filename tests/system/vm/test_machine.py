"""Brings the virtual machine up, and has each folder of tests run inside it."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from tests.system.vm.conftest import TOLD
from tests.system.vm.machine import LIMIT, missing, run

pytestmark = [pytest.mark.system, pytest.mark.timeout(2 * LIMIT)]

INSIDE = (
    "-p",
    "no:cacheprovider",
    "-p",
    "no:hypothesispytest",
    "-m",
    "system",
    "-v",
    "--durations=5",
    "-o",
    "timeout=200",
    "--color=no",
)


@pytest.mark.parametrize("suite", ["hotspot"])
def test_what_only_the_real_system_shows(suite: str, request: pytest.FixtureRequest) -> None:
    if (why := missing()) != "":
        pytest.skip(why)
    with Path("/tmp/enmctl-vm.lock").open("w") as lock:  # noqa: S108 - one machine at a time, whoever starts it
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = run(["python3", "-m", "pytest", *INSIDE, f"tests/system/vm/{suite}"])
    request.config.stash[TOLD].append(done.output)
    assert done.code == 0, f"{done.output}\n{done.trouble}"
