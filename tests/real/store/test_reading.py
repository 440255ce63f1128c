"""Commands that only read: beside a running gateway, cheaply, and without making anything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from enmctl.errors import StoreError
from enmctl.models import Outcome
from enmctl.store import Store
from enmctl.store.reading import find_devices, read_attempts, read_devices, read_events, read_meta
from tests.real.store.samples import begin, device


def test_what_was_never_made_reads_as_empty_and_is_not_made(path: Path) -> None:
    assert read_devices(path) == []
    assert find_devices(path, "lamp") == []
    assert read_attempts(path) == []
    assert read_events(path) == []
    assert read_meta(path, "pause") is None
    assert not path.parent.exists()
    path.parent.mkdir()
    path.touch()
    assert read_devices(path) == []
    assert path.read_bytes() == b""


def test_reading_shows_what_the_store_shows_while_it_is_in_use(store: Store, path: Path) -> None:
    store.add_many([device(1, name="lamp"), device(2, deleted=True)])
    attempt_id = begin(store)
    store.end_attempt(attempt_id, Outcome.FAILED, ended_at=1.0, reason="transfer")
    begin(store, 2)
    store.add_events([(1.0, device(1).uuid, "info", "one"), (2.0, "u2", "info", "two")])
    store.set_meta("pause", "Paused")
    with store.writing() as database:
        database.execute("UPDATE devices SET name = 'not yet'")
        for deleted in (False, True, None):
            assert read_devices(path, deleted=deleted) != []
        assert read_devices(path) == [device(1, name="lamp")], "what is not committed is not seen"
        assert find_devices(path, "lamp") == [device(1, name="lamp")]
    assert find_devices(path, "not yet", deleted=None) == store.devices(deleted=None)
    assert read_attempts(path) == store.attempts()
    assert read_attempts(path, device(1).uuid) == store.attempts(device(1).uuid)
    assert read_attempts(path, local_id="2", limit=1) == store.attempts(local_id="2")
    assert read_events(path) == store.events()
    assert read_events(path, device(1).uuid, limit=1) == store.events(device(1).uuid)
    assert read_events(path, after=1) == store.events(after=1)
    assert read_meta(path, "pause") == "Paused"


@pytest.mark.parametrize("name", ["with space.db", "ü?x=1&mode=rwc.db", "100%41.db", "#1.db"])
def test_any_file_name_is_a_file_name(tmp_path: Path, name: str) -> None:
    with Store.open(tmp_path / name) as store:
        store.add_device(device())
    assert read_devices(tmp_path / name) == [device()]
    assert {file.name for file in tmp_path.iterdir()} <= {name, f"{name}-wal", f"{name}-shm"}


def test_a_folder_is_no_database(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(StoreError) as raised:
        read_devices(path)
    assert raised.value.reason == "not-a-file"


def test_reading_imports_neither_sqlite_utils_nor_asyncio(path: Path) -> None:
    with Store.open(path) as store:
        store.add_device(device())
    script = """
import sys
from pathlib import Path
from enmctl.store.reading import read_devices
assert len(read_devices(Path(sys.argv[1]))) == 1
heavy = {"sqlite_utils", "asyncio", "httpx", "typer", "shutil", "enmctl.store.bolt", "enmctl.store.store"}
print(sorted(heavy & sys.modules.keys()))
"""
    command = [sys.executable, "-c", script, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "[]\n"
