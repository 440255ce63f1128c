"""Every schema there ever was comes up to date, and one that cannot stays as it was."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from enmctl.errors import StoreError
from enmctl.models import AttemptKind, BoardKey, Device, Outcome, Pending, PinnedBy, Proof
from enmctl.store import Store, schema
from enmctl.store.reading import read_devices

DATA = Path(__file__).parent / "data"
FROZEN = {int(file.stem.removeprefix("schema-")): file for file in DATA.glob("schema-*.sql")}

LAMP = Device(
    uuid="a" * 62,
    application_id=7,
    board_type="esp8266",
    local_id="1",
    name="lamp",
    commit="c1",
    target_commit="c2",
    config={"A": "1"},
    target_config={"A": "2"},
    environment={},
    target_environment={"E": "ü"},
    restart_wanted=True,
    held_target="c1",
    failures=2,
    failed_target="c2",
    failed_permanently=True,
    failed_at=10.5,
    retry_at=20.5,
    first_listed=4,
)
PINNED_LAMP = replace(
    LAMP, commit_at=110.5, good_commit="c0", pinned_commit="c0", pinned_target="c2", pinned_by=PinnedBy.POLICY
)
"""The same device as versions from 2 on know it."""

GONE = Device("b" * 62, 7, "esp8266", "2", "gone", deleted=True, unlisted=True)
BOARDLESS = Device("c" * 62, 8, "esp8266")


def load(version: int, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(FROZEN[version].read_text("utf-8"))


def tables(path: Path) -> dict[str, object]:
    """What the tables and indexes are, apart from how their SQL is spaced."""
    with closing(sqlite3.connect(path)) as connection:
        names = connection.execute("SELECT type, name FROM sqlite_master").fetchall()
        pragma = {"table": "table_xinfo", "index": "index_xinfo"}
        return {name: connection.execute(f"PRAGMA {pragma[kind]}({name})").fetchall() for kind, name in names}


def test_every_version_is_frozen() -> None:
    assert sorted(FROZEN) == list(range(1, schema.latest() + 1))


@pytest.mark.parametrize("version", sorted(FROZEN))
def test_an_old_database_comes_up_to_date_and_keeps_everything(version: int, path: Path) -> None:
    load(version, path)
    with Store.open(path) as store:
        assert not store.fresh
        assert store.notes == []
        assert store.devices(deleted=None) == [LAMP if version == 1 else PINNED_LAMP, GONE, BOARDLESS]
        assert store.pending() == [Pending(BoardKey(7, "3"), "esp8266", 4, 30.5, asked=True)]
        flash, update = store.attempts()
        assert (flash.kind, flash.outcome, flash.uuid) == (AttemptKind.FLASH, Outcome.RUNNING, None)
        assert (update.proof, update.sent, dict(update.stages)) == (Proof.RETURN_ALONE, 1000, {"transferring": 0.5})
        assert [event.message for event in store.events()] == ["began"]
        assert store.meta("pause") == "Paused"
        assert store.knows_lock("lock-1")
    fresh = path.with_name("fresh.db")
    Store.open(fresh).close()
    assert tables(path) == tables(fresh)


def test_a_further_step_is_taken_by_a_database_that_is_in_use(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load(1, path)
    step = ("ALTER TABLE devices ADD COLUMN colour TEXT", "UPDATE devices SET colour = 'red'")
    with Store.open(path) as old:
        monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, step))
        with pytest.raises(StoreError) as raised:
            read_devices(path)
        assert raised.value.reason == "older-schema"
        assert "enmctl run" in raised.value.remedy
        with Store.open(path) as new:
            assert new.devices(deleted=None) == old.devices(deleted=None) == [LAMP, GONE, BOARDLESS]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT DISTINCT colour FROM devices").fetchall() == [("red",)]


@pytest.mark.parametrize("failing", ["THIS IS NO SQL", "INSERT INTO meta VALUES ('pause', 'twice')"])
def test_a_step_that_fails_leaves_the_database_as_it_was(
    failing: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(1, path)
    before = tables(path)
    step = ("ALTER TABLE devices ADD COLUMN colour TEXT", "UPDATE devices SET name = 'x'", failing)
    with monkeypatch.context() as patched:
        patched.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, step))
        with pytest.raises(StoreError):
            Store.open(path)
    assert tables(path) == before
    with Store.open(path) as store:
        assert store.devices(deleted=None) == [LAMP, GONE, BOARDLESS]


def test_a_database_of_a_later_enmctl_is_refused_and_left_alone(path: Path) -> None:
    Store.open(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = path.read_bytes()
    for attempt in (lambda: Store.open(path).close(), lambda: read_devices(path)):
        with pytest.raises(StoreError, match="99") as raised:
            attempt()
        assert (raised.value.reason, raised.value.permanent) == ("newer-schema", True)
    assert path.read_bytes() == before
    assert {file.name for file in path.parent.iterdir()} <= {"enm.db", "enm.db-wal", "enm.db-shm"}
