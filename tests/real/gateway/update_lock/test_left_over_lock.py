"""Which update lock is left over: what a killed program held, told by flock from what one that works holds."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from enmctl.gateway import lock_file
from enmctl.gateway.update_lock import UpdateLock
from enmctl.store import Store, StoreThread
from tests.real.gateway.update_lock.conftest import LIMIT, known, there, waits

on_posix = pytest.mark.skipif(os.name != "posix", reason="Windows has no flock")


def _lock_ids(store: Store) -> list[str]:
    with store.reading() as connection:
        return [row[0] for row in connection.execute("SELECT id FROM locks")]


def kill(holder: UpdateLock) -> None:
    """End a holder as the system does: its files stay, its descriptors do not."""
    for held in holder._held:
        assert held.descriptor is not None
        os.close(held.descriptor)
    holder._held.clear()


@on_posix
async def test_a_lock_whose_holder_lives_is_not_taken_for_left_over(store: StoreThread, names: list[Path]) -> None:
    command, gateway = UpdateLock(names, store), UpdateLock(names, store)
    await command.acquire()
    assert await gateway.clear_leftovers(at_start=True), "a command holds it"
    assert there(names) == [True, True]
    waiting = asyncio.create_task(gateway.acquire())
    assert await waits(waiting)
    kill(command)
    await asyncio.wait_for(waiting, LIMIT)
    assert gateway.had_another
    await gateway.release()
    assert there(names) == [False, False]
    assert await store.call(_lock_ids) == []


@on_posix
@pytest.mark.parametrize("first_to_end", [0, 1])
async def test_commands_share_a_lock_and_the_last_removes_it(
    store: StoreThread, names: list[Path], first_to_end: int
) -> None:
    commands = [UpdateLock(names, store, joins=True) for _ in range(2)]
    for command in commands:
        assert await command.try_acquire()
    await commands[first_to_end].release()
    assert there(names) == [True, True]
    assert await UpdateLock(names, store).clear_leftovers(), "the other still works"
    await commands[1 - first_to_end].release()
    assert there(names) == [False, False]
    assert await store.call(_lock_ids) == []


@on_posix
async def test_a_command_shares_no_lock_with_a_stranger(store: StoreThread, names: list[Path]) -> None:
    first, second = UpdateLock(names, store, joins=True), UpdateLock(names, store, joins=True)
    assert await first.try_acquire()
    names[1].unlink()
    names[1].write_text("the Supervisor, by force")
    assert not await second.try_acquire()
    assert not await second.is_ours()
    await first.release()
    assert there(names) == [False, True]


@on_posix
@pytest.mark.parametrize("kind", ["pipe", "link"])
async def test_what_is_no_file_is_a_foreign_lock_and_holds_nobody_up_who_looks(
    store: StoreThread, names: list[Path], kind: str, tmp_path: Path
) -> None:
    known_id = tmp_path / "known"
    known_id.write_text("enmctl 1")
    await store.call(Store.remember_lock, "enmctl 1")
    if kind == "pipe":
        os.mkfifo(names[1])
    else:
        names[1].symlink_to(known_id)
    lock = UpdateLock(names, store)
    await lock.clear_leftovers(at_start=True)
    assert not await lock.is_ours()
    assert lock.foreign() == str(names[1])
    waiting = asyncio.create_task(lock.acquire())
    assert await waits(waiting)
    names[1].unlink()
    await asyncio.wait_for(waiting, LIMIT)
    await lock.release()


async def test_without_flock_a_left_over_is_removed_at_the_start_alone(
    store: StoreThread, names: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_file, "_FLOCKS", False)
    command, gateway = UpdateLock(names, store, joins=True), UpdateLock(names, store)
    assert await command.try_acquire()
    other = UpdateLock(names, store, joins=True)
    assert not await other.try_acquire()
    assert await other.is_ours(), "which is let be"
    assert await gateway.clear_leftovers()
    assert there(names) == [True, True]
    await gateway.clear_leftovers(at_start=True)
    assert there(names) == [False, False]
    await command.release()


@on_posix
async def test_ones_own_left_over_is_removed(store: StoreThread, names: list[Path]) -> None:
    killed = UpdateLock(names, store)
    await killed.acquire()
    kill(killed)
    lock_id = names[0].read_text()
    again = UpdateLock(names, store)
    assert again.foreign() is not None
    await again.clear_leftovers()
    assert there(names) == [False, False]
    assert not await known(store, lock_id)
    await asyncio.wait_for(again.acquire(), LIMIT)
    await again.release()


@on_posix
async def test_of_two_names_only_ones_own_is_removed(store: StoreThread, names: list[Path]) -> None:
    killed = UpdateLock(names, store)
    await killed.acquire()
    kill(killed)
    names[1].write_text("the Supervisor")
    again = UpdateLock(names, store)
    await again.clear_leftovers()
    assert there(names) == [False, True]
    assert names[1].read_text() == "the Supervisor"
    assert again.foreign() == str(names[1])
