"""Brings the virtual machines up, and has each folder of tests run inside one.

Where none can run, the reason of the skip begins as ``NO_MACHINE`` does; ``.ci/run`` takes that for an answer. It does
not for an image that cannot be built although its mirror is there.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from tests.system.vm.conftest import TOLD
from tests.system.vm.image import CannotBuildError, built
from tests.system.vm.machine import SILENT, Done, missing, run

pytestmark = [pytest.mark.system, pytest.mark.timeout(1800)]

NO_MACHINE: Final = "no virtual machine here: "

SUITES: Final = ("hotspot", "bluetooth")

BOOT_LIMIT: Final = 75.0
"""Seconds in which a machine has to come up and end; 20 are usual. One that takes longer is too slow for the suites."""

LIMIT: Final = 540.0
"""Seconds for a suite; with two processors for both at once they take four to five minutes."""

INSIDE: Final = (
    *("python3", "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-m", "system"),
    *(
        "-v",
        "-s",
        "--durations=5",
        "--color=no",
        "-o",
        "timeout=240",
        "-o",
        "asyncio_default_fixture_loop_scope=module",
    ),
    *("-o", "asyncio_default_test_loop_scope=module"),
)


def why_no_image(error: CannotBuildError) -> str:
    """The reason of a skip: no machine can run here where its mirror is away; else something is wrong."""
    return f"{NO_MACHINE if error.is_of_network else ''}its image cannot be built: {error}"


@pytest.fixture(scope="module")
def machine() -> Iterator[None]:
    """A machine that comes up; one after the other where several runs want one."""
    if (why := missing()) != "":
        pytest.skip(NO_MACHINE + why)
    with Path("/tmp/enmctl-vm.lock").open("w") as lock:  # noqa: S108 - one for the whole machine, whoever starts it
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            built()
        except CannotBuildError as error:
            pytest.skip(why_no_image(error))
        done = run(["true"], limit=BOOT_LIMIT)
        if done.code == SILENT:
            pytest.skip(f"{NO_MACHINE}it does not come up within {BOOT_LIMIT:g} s: {done.trouble}")
        yield


@pytest.mark.usefixtures("machine")
def test_what_only_the_real_systems_show(request: pytest.FixtureRequest) -> None:
    with ThreadPoolExecutor(len(SUITES)) as pool:
        ran = dict(zip(SUITES, pool.map(_run_inside, SUITES), strict=True))
    request.config.stash[TOLD].extend(f"{done.output}\n{done.trouble}" for done in ran.values())
    ended = {suite: done.code for suite, done in ran.items() if done.code != SILENT}
    assert ended == dict.fromkeys(ended, 0)
    if slow := ", ".join(sorted(set(SUITES) - set(ended))):
        pytest.skip(f"{NO_MACHINE}too slow for it, {slow} had not ended after {LIMIT:g} s")


def _run_inside(suite: str) -> Done:
    began = time.monotonic()
    done = run([*INSIDE, f"tests/system/vm/{suite}"], limit=LIMIT)
    return done._replace(output=f"{done.output}\n{suite}: {time.monotonic() - began:.0f} s with the machine's start")
