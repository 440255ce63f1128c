"""Places that this user may not look into: one line that says so, and no bug."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from enmctl.errors import ExitCode
from tests.real.cli.outside import QUICK, WITHIN
from tests.real.cli.rig import whole_environment

AS_ROOT = os.name == "posix" and os.geteuid() == 0
WITHOUT_POWERS = shutil.which("setpriv")
"""Runs a program as root that may only do what the rights of files say."""

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="rights of POSIX"),
    pytest.mark.skipif(AS_ROOT and WITHOUT_POWERS is None, reason="root may read everywhere, and there is no setpriv"),
]


@pytest.fixture
def shut(tmp_path: Path) -> Path:
    """A folder that may not be searched, with a file in it."""
    folder = tmp_path / "shut"
    folder.mkdir()
    (folder / "firmware.bin").write_bytes(b"\xe9")
    folder.chmod(0)
    return folder


def run(tmp_path: Path, *words: object, **variables: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *((WITHOUT_POWERS, "--bounding-set=-all", "--inh-caps=-all") if AS_ROOT and WITHOUT_POWERS else ()),
            *(sys.executable, "-m", "enmctl", *map(str, words)),
        ],
        env={**whole_environment(tmp_path), **QUICK, **{name: str(value) for name, value in variables.items()}},
        capture_output=True,
        text=True,
        timeout=WITHIN,
        check=False,
    )


@pytest.mark.parametrize(
    "words", [("flash",), ("flash", "--dry-run"), ("--simulate", "flash"), ("inspect",), ("fleet", "init")]
)
def test_a_file_in_a_folder_that_may_not_be_searched_is_told_with_its_permissions(
    tmp_path: Path, shut: Path, words: tuple[str, ...]
) -> None:
    done = run(tmp_path, "--simulate" if words == ("fleet", "init") else "--quiet", *words, shut / "firmware.bin")
    assert done.returncode == ExitCode.FILE, done.stderr
    assert str(shut) in done.stderr
    assert "Permission denied" in done.stderr
    assert "bug" not in done.stderr


def test_the_doctor_finds_a_folder_that_may_not_be_searched(tmp_path: Path, shut: Path) -> None:
    done = run(tmp_path, "doctor", "--json", ENM_DB_DIRECTORY=shut / "a", ENM_ASSETS_DIRECTORY=shut / "b")
    told = {found["check"]: found for found in json.loads(done.stdout)}
    for check in ("database folder", "assets folder"):
        assert told[check]["exit_code"] == ExitCode.FILE
        assert f"{shut} may not be written by this user" in told[check]["message"]
