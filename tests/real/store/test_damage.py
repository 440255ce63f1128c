"""A damaged database is set aside, never lost, and what can be read of it goes on."""

from __future__ import annotations

import random
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from enmctl.errors import StoreError
from enmctl.models import BoardKey, Pending
from enmctl.store import Store
from enmctl.store.reading import read_devices
from tests.real.store.samples import KEY, begin, device

PAGE = 4096
DEVICES = [device(number, config={"N": "x" * 50}, deleted=number % 9 == 0) for number in range(1, 301)]
PENDING = Pending(KEY, "esp8266", list_serial=4, asked_at=10.0, asked=True)


def fill(path: Path) -> None:
    with Store.open(path) as store:
        store.add_many(DEVICES)
        store.begin_provisioning(PENDING)
        store.set_meta("pause", "Paused")
        store.remember_lock("lock-1")
        begin(store)


def set_aside(path: Path) -> list[Path]:
    return sorted(file for file in path.parent.iterdir() if ".damaged-" in file.name)


def overwrite(path: Path, start: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(content)


def root_page(path: Path, name: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", [name]).fetchone()[0])


def test_a_file_that_is_no_database_makes_room_for_one(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"no database\n" * 500)
    with Store.open(path) as store:
        assert store.fresh
        assert store.devices() == []
        (note,) = store.notes
        store.add_device(device())
    (kept,) = set_aside(path)
    assert re.fullmatch(r"enm\.db\.damaged-\d{8}-\d{6}", kept.name)
    assert kept.name in note
    assert "it is no database" in note
    assert kept.read_bytes() == b"no database\n" * 500
    with Store.open(path) as store:
        assert (store.notes, store.fresh, store.devices()) == ([], False, [device()])


def test_two_damaged_files_of_one_second_are_both_kept(path: Path) -> None:
    path.parent.mkdir()
    for number in range(3):
        path.write_bytes(b"broken %d" % number)
        Store.open(path).close()
    assert sorted(file.read_bytes() for file in set_aside(path)) == [b"broken 0", b"broken 1", b"broken 2"]


@pytest.mark.parametrize("broken", ["devices", "sqlite_autoindex_devices_1", "devices_board"])
def test_what_a_broken_tree_still_shows_is_saved(path: Path, broken: str) -> None:
    fill(path)
    start = (root_page(path, broken) - 1) * PAGE
    overwrite(path, start, bytes(PAGE))
    with Store.open(path) as store:
        assert store.fresh
        assert "could be saved" in store.notes[0]
        saved = store.devices(deleted=None)
        assert store.pending() == [replace(PENDING, list_serial=0)], "lists are numbered anew"
        assert store.meta("pause") == "Paused"
        assert store.knows_lock("lock-1")
    expected = [] if broken == "devices" else DEVICES
    assert sorted(saved, key=lambda one: one.uuid) == expected
    assert f"{len(expected)} devices" in store.notes[0]
    assert len(set_aside(path)) == 1


def test_a_broken_page_of_rows_costs_only_its_rows(path: Path) -> None:
    fill(path)
    with closing(sqlite3.connect(path)) as connection:
        pages = [
            row[0]
            for row in connection.execute("SELECT pageno FROM dbstat WHERE name = 'devices' AND pagetype = 'leaf'")
        ]
    overwrite(path, (pages[len(pages) // 2] - 1) * PAGE, b"\xff" * PAGE)
    with Store.open(path) as store:
        saved = store.devices(deleted=None)
    assert len(DEVICES) - 40 <= len(saved) < len(DEVICES)
    assert all(one in DEVICES for one in saved)
    assert len(set_aside(path)) == 1


def test_any_damage_ends_in_a_store_that_works_and_invents_no_device(path: Path) -> None:
    fill(path)
    whole = path.read_bytes()
    chance = random.Random(20260101)
    uuids = {one.uuid for one in DEVICES}
    for _ in range(40):
        damaged = bytearray(whole)
        match chance.randrange(4):
            case 0:
                damaged = damaged[: chance.randrange(1, len(damaged))]
            case 1:
                start = chance.randrange(len(damaged) // PAGE) * PAGE
                damaged[start : start + PAGE] = chance.randbytes(PAGE)
            case 2:
                start = chance.randrange(len(damaged) - 64)
                damaged[start : start + 64] = bytes(64)
            case _:
                damaged[:PAGE] = chance.randbytes(PAGE)
        for file in path.parent.iterdir():
            file.unlink()
        path.write_bytes(damaged)
        with Store.open(path) as store:
            assert store.add_device(device(9999))
            found = store.devices(deleted=None)
            assert sum(one.uuid in uuids for one in found) >= len(found) - 3, "64 zeroed bytes may be a uuid's"
        kept = set_aside(path)
        assert [file.read_bytes() for file in kept if not file.name.endswith(("-wal", "-shm"))] in (
            [bytes(damaged)],
            [],
        )
        assert bool(kept) == bool(store.notes)


@pytest.mark.parametrize(
    "lost", ["DROP TABLE attempts", "DROP INDEX devices_board", "ALTER TABLE devices DROP COLUMN retry_at"]
)
def test_a_database_that_lost_a_part_is_made_anew_from_the_rest(path: Path, lost: str) -> None:
    fill(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(lost)
        connection.commit()
    with Store.open(path) as store:
        assert "it lacks the" in store.notes[0]
        assert store.devices(deleted=None) == DEVICES
        begin(store)


def test_rows_of_the_wrong_kind_are_not_saved(path: Path) -> None:
    fill(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute("UPDATE devices SET config = '{broken' WHERE local_id = '1'")
        connection.execute("UPDATE devices SET failures = 'many' WHERE local_id = '2'")
        connection.execute("UPDATE devices SET name = x'ff00' WHERE local_id = '3'")
        connection.execute("UPDATE devices SET board_type = CAST(x'ff' AS TEXT) WHERE local_id = '4'")
        connection.commit()
    with Store.open(path) as store:
        assert store.devices(deleted=None) == DEVICES[4:]


def test_the_write_ahead_log_is_set_aside_with_its_database(path: Path) -> None:
    with Store.open(path) as store:
        store.add_many(DEVICES)
        log = Path(f"{path}-wal").read_bytes()
    path.write_bytes(b"broken" * 1000)
    Path(f"{path}-wal").write_bytes(log)
    Path(f"{path}-shm").write_bytes(b"old")
    with Store.open(path) as store:
        assert store.notes
        store.add_device(device(1000))
    with Store.open(path) as store:
        assert not store.notes
        assert store.device(device(1000).uuid)
    names = {file.name.partition(".damaged-")[2][15:]: file for file in set_aside(path)}
    assert set(names) == {"", "-wal"}
    assert names["-wal"].read_bytes() == log


def test_what_only_stands_in_the_write_ahead_log_is_saved_too(path: Path) -> None:
    fill(path)
    with Store.open(path) as store:
        store.add_device(device(1000))
        files = {suffix: Path(f"{path}{suffix}").read_bytes() for suffix in ("", "-wal")}
    for suffix, content in files.items():
        Path(f"{path}{suffix}").write_bytes(content)
    overwrite(path, (root_page_of(files[""], path, "events") - 1) * PAGE, b"\xff" * PAGE)
    with Store.open(path) as store:
        assert store.notes
        assert store.devices(deleted=None) == [*DEVICES, device(1000)]


def root_page_of(content: bytes, beside: Path, name: str) -> int:
    copy = beside.with_name("copy.db")
    copy.write_bytes(content)
    number = root_page(copy, name)
    for file in beside.parent.glob("copy.db*"):
        file.unlink()
    return number


@pytest.mark.parametrize(
    "look", [lambda path: Store.open(path, set_aside=False).close(), read_devices], ids=["store", "reading"]
)
@pytest.mark.parametrize("damage", [b"broken" * 1000, None], ids=["no-database", "broken-page"])
def test_whoever_is_not_the_gateway_is_told_and_changes_nothing(
    path: Path, damage: bytes | None, look: Callable[[Path], object]
) -> None:
    fill(path)
    if damage is None:
        overwrite(path, (root_page(path, "devices") - 1) * PAGE, b"\xff" * PAGE)
    else:
        path.write_bytes(damage)
    before = path.read_bytes()
    with pytest.raises(StoreError) as raised:
        look(path)
    assert raised.value.reason == "damaged"
    assert "enmctl run" in raised.value.remedy
    assert path.read_bytes() == before
    assert set_aside(path) == []


def test_damage_that_shows_only_while_running_says_to_start_anew(path: Path) -> None:
    fill(path)
    with Store.open(path) as store:
        overwrite(path, (root_page(path, "devices") - 1) * PAGE, b"\xff" * PAGE)
        with closing(sqlite3.connect(path)) as beside:
            beside.execute("DELETE FROM meta")  # what was read before is not believed any more
            beside.commit()
        with pytest.raises(StoreError) as raised:
            store.devices()
    assert raised.value.reason == "damaged"
    assert "restart" in raised.value.remedy


def test_a_board_key_survives_the_rescue(path: Path) -> None:
    fill(path)
    overwrite(path, (root_page(path, "sqlite_autoindex_devices_1") - 1) * PAGE, bytes(PAGE))
    with Store.open(path) as store:
        assert store.device_of(BoardKey(7, "1")) == DEVICES[0]
