"""Which skips of the system tests fail a run, and which are an answer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

REPORT = Path(__file__).parents[2] / ".ci/system_tests.py"

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="the image is built on Linux"),
    pytest.mark.skipif(not REPORT.exists(), reason="only a checkout has the scripts of its checks"),
]

RESOLVING = "Err:1 http://deb.debian.org/debian bookworm InRelease\n  Temporary failure resolving 'deb.debian.org'"
PIP = "Failed to establish a new connection: [Errno 101] Network is unreachable"
NO_KEY = "The following signatures couldn't be verified because the public key is not available"


def judged(tmp_path: Path, reason: str) -> int:
    suite = ET.Element("testsuite")
    ET.SubElement(suite, "testcase")
    ET.SubElement(ET.SubElement(suite, "testcase"), "skipped", message=reason)
    ET.ElementTree(suite).write(tmp_path / "report.xml")
    return subprocess.run(
        [sys.executable, str(REPORT), str(tmp_path / "report.xml")], capture_output=True, check=False
    ).returncode


@pytest.mark.parametrize(("said", "fails"), [(RESOLVING, False), (PIP, False), (NO_KEY, True), ("E: no space", True)])
def test_an_image_that_cannot_be_built_fails_the_run_unless_its_mirror_is_away(
    tmp_path: Path, said: str, *, fails: bool
) -> None:
    from tests.system.vm.image import CannotBuildError, _run
    from tests.system.vm.test_machine import why_no_image

    with pytest.raises(CannotBuildError) as caught:
        _run("sh", "-c", 'printf "%s" "$1" >&2; exit 25', "sh", said)
    assert judged(tmp_path, why_no_image(caught.value)) == int(fails)


def test_a_skip_that_nobody_asked_for_fails_the_run(tmp_path: Path) -> None:
    assert judged(tmp_path, "no network namespaces here") == 1
    assert judged(tmp_path, "no virtual machine here: QEMU cannot be installed here: no mmdebstrap") == 0
