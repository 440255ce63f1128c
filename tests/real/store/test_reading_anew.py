"""Devices are read from the file only when somebody wrote to it: nobody may ever get to see an older state."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enmctl.models import AttemptKind, Proof
from enmctl.store import Store
from tests.real.store.samples import KEY, device


def names(store: Store) -> list[str]:
    return [each.name for each in store.devices(deleted=None)]


def change_and_undo(store: Store, uuid: str) -> None:
    with store.joined():
        changed = store.change(uuid, name="never")
        assert ("never" in names(store)) is changed
        raise RuntimeError


def test_devices_are_the_same_objects_while_nobody_writes(store: Store) -> None:
    store.add_device(device())
    first, second = store.devices(), store.devices()
    assert first[0] is second[0]
    assert first is not second


def test_a_list_that_was_handed_out_is_the_callers(store: Store) -> None:
    store.add_device(device())
    store.devices(deleted=None).clear()
    assert len(store.devices(deleted=None)) == 1


def test_what_another_connection_wrote_is_seen_at_once(store: Store, path: Path) -> None:
    store.add_device(device())
    assert names(store) == ["board-1"]
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("UPDATE devices SET name = 'renamed'")
        assert names(store) == ["renamed"]
        other.execute("DELETE FROM devices")
        assert names(store) == []


def test_what_another_connection_has_not_committed_is_not_seen_and_then_is(store: Store, path: Path) -> None:
    store.add_device(device())
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("UPDATE devices SET name = 'renamed'")
        assert names(store) == ["board-1"]
        other.execute("COMMIT")
        assert names(store) == ["renamed"]


def test_what_was_read_in_a_transaction_that_was_undone_is_forgotten(store: Store) -> None:
    store.add_device(device())
    store.devices()
    with pytest.raises(RuntimeError):
        change_and_undo(store, device().uuid)
    assert names(store) == ["board-1"]


def test_an_attempt_that_ends_shows_in_its_device(store: Store) -> None:
    store.add_device(device())
    assert store.devices()[0].commit is None
    attempt_id = store.begin_attempt(AttemptKind.UPDATE, KEY, device().uuid, "c1", 1000, 100.0)
    store.succeed_update(attempt_id, device().uuid, ended_at=101.0, proof=Proof.RETURN_ALONE, commit="c1")
    assert store.devices()[0].commit == "c1"


writes = st.sampled_from(["add", "change", "change_many", "remove", "other", "delete", "undone"])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(writes, max_size=8))
def test_after_any_writes_what_is_read_is_what_the_file_holds(store: Store, path: Path, steps: list[str]) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        for number, step in enumerate(steps):
            uuid = device(number % 3).uuid
            if step == "add":
                store.add_device(device(number % 3))
            elif step == "change":
                store.change(uuid, name=f"changed-{number}")
            elif step == "change_many":
                store.change_many([(uuid, {"name": f"many-{number}"})])
            elif step == "remove":
                store.remove_device(uuid)
            elif step == "delete":
                store.change(uuid, deleted=number % 2 == 0)
            elif step == "other":
                other.execute("UPDATE devices SET name = ?", [f"other-{number}"])
            else:
                with pytest.raises(RuntimeError):
                    change_and_undo(store, uuid)
            found = other.execute("SELECT uuid, name, deleted FROM devices ORDER BY rowid").fetchall()
            assert [(each.uuid, each.name, int(each.deleted)) for each in store.devices(deleted=None)] == found
            assert [each.uuid for each in store.devices()] == [row[0] for row in found if not row[2]]
