from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from enmctl.errors import StoreError
from enmctl.store import Store
from tests.real.store.samples import device

DATA = Path(__file__).parent / "data"
ROOT = Path(__file__).parents[3]


def test_folders_and_file_are_made_and_found_again(path: Path) -> None:
    with Store.open(path) as store:
        assert (store.fresh, store.notes) == (True, [])
        store.add_device(device())
    with Store.open(path) as store:
        assert (store.fresh, store.notes) == (False, [])
        assert store.devices() == [device()]


def test_an_empty_file_is_a_new_database(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    with Store.open(path) as store:
        assert store.fresh


def readable_by_others(folder: Path) -> list[str]:
    return [file.name for file in (folder, *folder.iterdir()) if file.stat().st_mode & 0o077]


@pytest.mark.skipif(os.name != "posix", reason="rights of POSIX")
def test_nobody_else_reads_what_is_made(path: Path) -> None:
    with Store.open(path) as store:
        store.add_device(device())
        assert len(list(path.parent.iterdir())) > 1, "its log is there"
        assert readable_by_others(path.parent) == []


@pytest.mark.skipif(os.name != "posix", reason="rights of POSIX")
@pytest.mark.parametrize("there", ["database", "damaged", "bolt"])
def test_nobody_else_reads_any_more_what_was_there(path: Path, there: str) -> None:
    path.parent.mkdir(mode=0o700)
    if there == "database":
        Store.open(path).close()
    else:
        path.write_bytes(b"broken" * 100 if there == "damaged" else (DATA / "three.bolt").read_bytes())
    path.chmod(0o644)
    with Store.open(path) as store:
        store.add_device(device())
        assert readable_by_others(path.parent) == []


@pytest.mark.skipif(os.name != "posix", reason="rights of POSIX")
def test_another_programs_database_keeps_its_rights(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE theirs (id)")
    path.chmod(0o644)
    with pytest.raises(StoreError):
        Store.open(path)
    assert path.stat().st_mode & 0o777 == 0o644


def test_what_is_committed_is_on_the_disk_and_others_may_read_meanwhile(store: Store, path: Path) -> None:
    with store.reading() as connection:
        pragmas = {
            name: connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 5000}
    assert path.stat().st_size > 0


def test_what_was_confirmed_survives_a_kill(path: Path) -> None:
    script = """
import sys
from pathlib import Path
from enmctl.store import Store
from tests.real.store.samples import device
store = Store.open(Path(sys.argv[1]))
number = 0
while True:
    number += 1
    store.add_device(device(number))
    print(number, flush=True)
"""
    command = [sys.executable, "-c", script, str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        confirmed = 0
        for line in child.stdout:
            confirmed = int(line)
            if confirmed >= 50:
                child.kill()
    assert confirmed >= 50
    with Store.open(path) as store:
        assert not store.notes
        assert len(store.devices()) in {confirmed, confirmed + 1}


def test_a_linked_database_is_kept_where_it_really_lies(path: Path, tmp_path: Path) -> None:
    real = tmp_path / "disk" / "real.db"
    real.parent.mkdir()
    real.write_bytes(b"no database at all" * 100)
    path.parent.mkdir()
    path.symlink_to(real)
    with Store.open(path) as store:
        store.add_device(device())
        assert store.path == real
    assert path.is_symlink()
    assert [file.name for file in path.parent.iterdir()] == ["enm.db"]
    assert any(file.name.startswith("real.db.damaged-") for file in real.parent.iterdir())


@pytest.mark.parametrize("kind", ["folder", "pipe", "file-as-folder"])
def test_what_can_be_no_file_is_refused_at_once(path: Path, kind: str) -> None:
    if kind == "pipe" and not hasattr(os, "mkfifo"):
        pytest.skip("this system has no pipes among its files")
    if kind == "folder":
        path.mkdir(parents=True)
    elif kind == "pipe":
        path.parent.mkdir()
        os.mkfifo(path)
    else:
        path.parent.touch()
    with pytest.raises(StoreError) as raised:
        Store.open(path)
    assert raised.value.reason == "not-a-file"
    assert "ENM_DB_" in raised.value.remedy


def test_another_programs_database_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE songs (title)")
        connection.commit()
    before = path.read_bytes()
    with pytest.raises(StoreError) as raised:
        Store.open(path)
    assert (raised.value.reason, raised.value.permanent) == ("not-ours", True)
    assert "ENM_DB_FILE" in raised.value.remedy
    assert path.read_bytes() == before


def test_a_closed_store_says_so(path: Path) -> None:
    store = Store.open(path)
    store.close()
    with pytest.raises(StoreError) as raised:
        store.devices()
    assert raised.value.reason == "closed"
    with pytest.raises(StoreError):
        store.change("x", commit="y")


@pytest.mark.parametrize("before", ["nothing", "bolt", "damaged"])
def test_several_programs_that_open_at_once_agree_on_one_database(path: Path, before: str) -> None:
    path.parent.mkdir()
    if before == "bolt":
        path.write_bytes((DATA / "three.bolt").read_bytes())
    elif before == "damaged":
        path.write_bytes(b"broken" * 1000)
    script = """
import sys
from pathlib import Path
from enmctl.store import Store
from tests.real.store.samples import device
import sqlite_utils
print("ready", flush=True)
sys.stdin.readline()
with Store.open(Path(sys.argv[1])) as store:
    assert store.add_device(device(int(sys.argv[2])))
"""

    def start(number: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", script, str(path), str(number)]
        return subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    children = [start(number) for number in range(1, 6)]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    with ThreadPoolExecutor(len(children)) as pool:
        ends = list(pool.map(lambda child: (child.communicate("\n", timeout=60)[1], child.returncode), children))
    assert ends == [("", 0)] * len(children)
    with Store.open(path) as store:
        expected = 5 + (3 if before == "bolt" else 0)
        assert len(store.devices(deleted=None)) == expected
    kept = {"nothing": 0, "bolt": 1, "damaged": 1}[before]
    assert len([file for file in path.parent.iterdir() if file.name != "enm.db"]) == kept
