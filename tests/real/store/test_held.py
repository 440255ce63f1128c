"""A database that this process has open keeps its locks, whatever else in it looks at the file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from enmctl.models import Device
from enmctl.store import Store
from enmctl.store.files import Kind, kind_of
from enmctl.store.reading import read_devices

DEVICE = Device(uuid="4a" * 31, application_id=511898, board_type="esp8266", local_id="1265892", name="wild-sea")

LOOK_AND_GO = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT 1 FROM devices'); c.close()"
"""Another program that reads the database and closes it."""

NAMES = """
import sys, pathlib
from enmctl.store.reading import read_devices
print(*(device.name for device in read_devices(pathlib.Path(sys.argv[1]))))
"""
"""Another program that tells what it reads."""


def other_program(code: str, path: Path) -> str:
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.skipif(os.name != "posix", reason="elsewhere a lock belongs to whoever took it")
def test_what_is_written_after_a_look_at_the_file_is_seen_by_other_programs(tmp_path: Path) -> None:
    path = tmp_path / "enm.db"
    with Store.open(path) as store:
        store.add_device(DEVICE)
        assert [device.name for device in read_devices(path)] == ["wild-sea"]
        with Store.open(path) as again:
            assert len(again.devices()) == 1
        other_program(LOOK_AND_GO, path)
        store.change(DEVICE.uuid, name="still-here")
        assert other_program(NAMES, path) == "still-here"
    assert other_program(NAMES, path) == "still-here"


def test_a_file_that_is_closed_is_looked_at_again(tmp_path: Path) -> None:
    path = tmp_path / "enm.db"
    store = Store.open(path)
    store.close()
    store.close()
    path.write_bytes(b"no database")
    assert kind_of(path) is Kind.OTHER
