"""The update lock: ours while a transfer runs, a left-over told from a foreign one, and that one never touched."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from enmctl.gateway.update_lock import UpdateLock
from enmctl.store import Store, StoreThread
from tests.real.gateway.update_lock.conftest import LIMIT, known, there, waits


async def test_both_names_are_there_while_it_is_held_with_an_id_that_the_store_knows(
    store: StoreThread, names: list[Path]
) -> None:
    lock = UpdateLock(names, store)
    await lock.acquire()
    assert there(names) == [True, True]
    ids = {name.read_text() for name in names}
    assert len(ids) == 1
    lock_id = ids.pop()
    assert await known(store, lock_id)
    assert lock.foreign() is None
    await lock.release()
    assert there(names) == [False, False]
    assert not await known(store, lock_id)
    assert [path.name for name in names for path in name.parent.iterdir()] == [], "no draft is left"


async def test_several_transfers_share_it_to_the_last(store: StoreThread, names: list[Path]) -> None:
    lock = UpdateLock(names, store)
    await asyncio.gather(*(lock.acquire() for _ in range(4)))
    lock_id = names[0].read_text()
    for _ in range(3):
        await lock.release()
        assert [name.read_text() for name in names] == [lock_id, lock_id]
    await lock.release()
    assert there(names) == [False, False]
    await lock.acquire()
    assert names[0].read_text() != lock_id, "each time it has an id of its own"
    await lock.release()


async def test_it_is_let_go_although_the_database_is_locked(
    tmp_path: Path, names: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "locked.db"
    async with StoreThread(path, busy_timeout=0.05) as store:
        lock = UpdateLock(names, store)
        await lock.acquire()
        with closing(sqlite3.connect(path)) as other:
            other.execute("BEGIN IMMEDIATE")
            await lock.release()
            assert there(names) == [False, False]
            assert "keeps the id of an update lock" in caplog.text
        await lock.acquire()
        assert there(names) == [True, True]
        await lock.release()


async def test_while_a_foreign_lock_is_there_nothing_is_written(
    tmp_path: Path, store: StoreThread, names: list[Path]
) -> None:
    names[1].write_text("the Supervisor's")
    with closing(sqlite3.connect(tmp_path / "database" / "enm.db")) as other:

        def version() -> int:
            """A number that is another one after each write."""
            return int(other.execute("PRAGMA data_version").fetchone()[0])

        before = version()
        waiting = asyncio.create_task(UpdateLock(names, store).acquire())
        assert await waits(waiting)
        assert version() == before
        names[1].unlink()
        await asyncio.wait_for(waiting, LIMIT)
        assert version() != before


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("content", ["", "somebody", "enmctl 0123456789abcdef0123456789abcdef"])
async def test_a_foreign_lock_is_waited_for_and_never_removed(
    store: StoreThread, names: list[Path], which: int, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    names[which].parent.mkdir(exist_ok=True)
    names[which].write_text(content)
    lock = UpdateLock(names, store)
    await lock.clear_leftovers()
    assert lock.foreign() == str(names[which])
    with caplog.at_level(logging.WARNING, "enmctl"):
        waiting = asyncio.create_task(lock.acquire())
        assert await waits(waiting)
    assert caplog.text.count("somebody else holds the update lock") == 1, "said once, not at each look"
    assert names[which].read_text() == content
    assert not there(names)[1 - which], "half a lock keeps nobody out and stands in everybody's way"
    names[which].unlink()
    await asyncio.wait_for(waiting, LIMIT)
    assert there(names) == [True, True]
    await lock.release()
    assert there(names) == [False, False]


@pytest.mark.skipif(not Path("/proc/version").exists(), reason="a folder in which not even root can make a file")
async def test_a_foreign_lock_counts_where_none_of_our_own_could_be_made(store: StoreThread, names: list[Path]) -> None:
    lock = UpdateLock([names[0], Path("/proc/version")], store)
    waiting = asyncio.create_task(lock.acquire())
    assert await waits(waiting), "a transfer began under somebody else's lock"
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert not names[0].exists()


async def test_a_foreign_lock_keeps_no_id_in_the_store(store: StoreThread, names: list[Path]) -> None:
    names[1].write_text("somebody")
    lock = UpdateLock(names, store)
    waiting = asyncio.create_task(lock.acquire())
    assert await waits(waiting)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert len(await store.call(_lock_ids)) <= 1, "an id a look would fill the database"
    assert names[1].read_text() == "somebody"
    assert not names[0].exists()


def _lock_ids(store: Store) -> list[str]:
    with store.reading() as connection:
        return [row[0] for row in connection.execute("SELECT id FROM locks")]


async def test_who_waited_in_vain_leaves_the_lock_to_others(store: StoreThread, names: list[Path]) -> None:
    names[1].write_text("somebody")
    lock = UpdateLock(names, store)
    given_up, patient = asyncio.create_task(lock.acquire()), asyncio.create_task(lock.acquire())
    assert await waits(given_up)
    given_up.cancel()
    await asyncio.gather(given_up, return_exceptions=True)
    names[1].unlink()
    await asyncio.wait_for(patient, LIMIT)
    await lock.release()
    assert there(names) == [False, False]


async def test_another_gateways_lock_is_foreign(store: StoreThread, names: list[Path], tmp_path: Path) -> None:
    async with StoreThread(tmp_path / "other" / "enm.db") as other_store:
        other = UpdateLock(names, other_store)
        await other.acquire()
        lock = UpdateLock(names, store)
        await lock.clear_leftovers()
        assert there(names) == [True, True]
        waiting = asyncio.create_task(lock.acquire())
        assert await waits(waiting)
        await other.release()
        await asyncio.wait_for(waiting, LIMIT)
        await lock.release()


async def test_a_lock_that_somebody_took_meanwhile_is_not_removed(store: StoreThread, names: list[Path]) -> None:
    lock = UpdateLock(names, store)
    await lock.acquire()
    names[0].unlink()
    names[0].write_text("the Supervisor, by force")
    await lock.release()
    assert names[0].read_text() == "the Supervisor, by force"
    assert not names[1].exists()


async def test_the_second_name_counts_only_where_its_folder_is(store: StoreThread, names: list[Path]) -> None:
    names[1].parent.rmdir()
    lock = UpdateLock(names, store)
    await lock.acquire()
    assert there(names) == [True, False]
    assert not names[1].parent.exists()
    await lock.release()


async def test_one_name_given_twice_is_one(store: StoreThread, names: list[Path]) -> None:
    lock = UpdateLock([names[0], names[0]], store)
    await asyncio.wait_for(lock.acquire(), LIMIT)
    await lock.release()
    assert not names[0].exists()


@pytest.mark.skipif(os.name != "posix", reason="links need a right on Windows")
async def test_a_link_that_leads_nowhere_is_a_lock_too(store: StoreThread, names: list[Path]) -> None:
    names[1].symlink_to("/nowhere/at/all")
    lock = UpdateLock(names, store)
    await lock.clear_leftovers()
    waiting = asyncio.create_task(lock.acquire())
    assert await waits(waiting)
    assert names[1].is_symlink()
    names[1].unlink()
    await asyncio.wait_for(waiting, LIMIT)
    await lock.release()


async def test_a_lock_that_is_a_folder_is_waited_for(store: StoreThread, names: list[Path]) -> None:
    names[0].mkdir(parents=True)
    lock = UpdateLock(names, store)
    await lock.clear_leftovers()
    waiting = asyncio.create_task(lock.acquire())
    assert await waits(waiting)
    names[0].rmdir()
    await asyncio.wait_for(waiting, LIMIT)
    await lock.release()


@pytest.fixture
def unwritable(tmp_path: Path) -> Path:
    """A folder that is there and takes no file, from root neither."""
    if os.name == "posix" and os.geteuid() == 0:
        return Path("/proc/self")
    folder = tmp_path / "unwritable"
    folder.mkdir()
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    return folder


@pytest.mark.skipif(os.name != "posix", reason="Windows folders have no mode")
async def test_where_it_cannot_be_made_transfers_go_on_and_it_is_said_once(
    store: StoreThread, names: list[Path], unwritable: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lock = UpdateLock([unwritable / "resin-updates.lock", names[1]], store)
    with caplog.at_level(logging.WARNING, "enmctl"):
        for _ in range(3):
            await asyncio.wait_for(lock.acquire(), LIMIT)
            assert names[1].exists(), "the other name holds all the same"
            await lock.release()
            assert not names[1].exists()
    assert caplog.text.count("cannot be made") == 1


async def test_where_its_folder_cannot_be_made_transfers_go_on(store: StoreThread, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    lock = UpdateLock([tmp_path / "file" / "resin-updates.lock"], store)
    await lock.clear_leftovers()
    await asyncio.wait_for(lock.acquire(), LIMIT)
    assert lock.foreign() is None
    await lock.release()


async def test_many_that_come_and_go_never_overlap_a_foreign_holder(store: StoreThread, names: list[Path]) -> None:
    """Transfers begin and end at random while a Supervisor takes the lock by turns."""
    lock = UpdateLock(names, store)
    ours = 0
    clashes = 0

    async def transfer(number: int) -> None:
        nonlocal ours
        for turn in range(5):
            await lock.acquire()
            ours += 1
            await asyncio.sleep(0.001 * ((number + turn) % 3))
            ours -= 1
            await lock.release()

    async def supervisor() -> None:
        nonlocal clashes
        while True:
            try:
                with names[0].open("x") as file:
                    file.write("the Supervisor")
            except FileExistsError:
                await asyncio.sleep(0.001)
                continue
            clashes += ours
            await asyncio.sleep(0.005)
            clashes += ours
            assert names[0].read_text() == "the Supervisor"
            names[0].unlink()
            await asyncio.sleep(0.005)

    taking = asyncio.create_task(supervisor())
    names[0].parent.mkdir(exist_ok=True)
    async with asyncio.timeout(20):
        await asyncio.gather(*(transfer(number) for number in range(6)))
    assert not taking.done()
    taking.cancel()
    await asyncio.gather(taking, return_exceptions=True)
    assert clashes == 0
