"""A small file system that gets full, and one that is mounted read-only: in the store alone, and under a gateway."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from enmctl.store import Store
from tests.real.gateway import on_a_full_disk
from tests.real.gateway.process import whole_environment
from tests.real.store.samples import device
from tests.real.store.test_faults import FILLING, check_full

pytestmark = pytest.mark.system


def mounted(mount: str, *command: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end where something is mounted that nobody else sees."""
    words = ["unshare", "--mount", "sh", "-c", f'{mount} && exec "$0" "$@"', *command]
    return subprocess.run(words, capture_output=True, text=True, timeout=90, check=False, env=environment)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """Where a small file system is to be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    return folder


def test_on_a_full_disk_the_disk_is_named_and_what_was_stored_is_safe(disk: Path) -> None:
    script = FILLING.format(
        prepare="import shutil; ballast = Path(sys.argv[2]); ballast.write_bytes(bytes(100_000))",
        release="ballast.unlink()",
    )
    command = [sys.executable, "-c", script, str(disk / "enm.db"), str(disk / "ballast")]
    done = mounted(f"mount -t tmpfs -o size=600k tmpfs {disk}", *command)
    assert (done.stderr, done.returncode) == ("", 0)
    check_full(json.loads(done.stdout), {"disk-full"})


def test_on_a_disk_that_is_mounted_read_only_the_remedy_is_named(tmp_path: Path) -> None:
    path = tmp_path / "database" / "enm.db"
    with Store.open(path) as store:
        store.add_device(device())
    script = """
import sys
from pathlib import Path
from enmctl.errors import StoreError
from enmctl.store import Store
from enmctl.store.reading import read_devices
try:
    Store.open(Path(sys.argv[1]))
except StoreError as error:
    print(error.reason, len(read_devices(Path(sys.argv[1]))))
"""
    done = mounted(_read_only(path.parent), sys.executable, "-c", script, str(path))
    assert (done.stderr, done.stdout) == ("", "read-only 1\n")


def _read_only(folder: Path) -> str:
    return f"mount --bind {folder} {folder} && mount -o remount,ro,bind {folder}"


def test_a_gateway_whose_disk_is_mounted_read_only_ends_its_start_with_one_line(tmp_path: Path) -> None:
    path = tmp_path / "database" / "enm.db"
    Store.open(path).close()
    environment = whole_environment({"ENM_DB_DIRECTORY": str(path.parent), "ENM_API_PORT": "0"})
    done = mounted(_read_only(path.parent), sys.executable, "-m", "enmctl", "run", environment=environment)
    assert (done.returncode, done.stdout) == (4, "")
    message, remedy = done.stderr.splitlines()
    assert str(path.parent) in message
    assert "ENM_DB_DIRECTORY" in remedy


@pytest.mark.parametrize("finds", ["news", "journal", "upload"])
def test_on_a_full_disk_a_gateway_sends_no_byte_and_goes_on_when_there_is_room(disk: Path, finds: str) -> None:
    script = [sys.executable, "-W", "error", "-m", "tests.real.gateway.on_a_full_disk", str(disk), "ballast", finds]
    done = mounted(f"mount -t tmpfs -o size=2m tmpfs {disk}", *script)
    assert (done.stderr, done.returncode) == ("", 0)
    on_a_full_disk.check(json.loads(done.stdout), finds)
