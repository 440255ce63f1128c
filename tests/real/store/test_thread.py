"""The store's thread: in order, durable before it returns, and never in the loop's way."""

from __future__ import annotations

import asyncio
import gc
import json
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from enmctl.errors import StoreError
from enmctl.models import Device, Outcome
from enmctl.store import Store, StoreThread, thread
from tests.real.store.samples import begin, device

ROOT = Path(__file__).parents[3]


def threads() -> int:
    """How many of the store's threads live on; one that has said its last word gets a moment to end."""
    for one in threading.enumerate():
        if one.name == "store":
            one.join(5.0)
    return sum(one.name == "store" for one in threading.enumerate())


def has_log(path: Path) -> bool:
    return Path(f"{path}-wal").exists()


def stored(path: Path) -> list[str | None]:
    with closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute('SELECT "commit" FROM devices ORDER BY rowid')]


async def test_calls_are_answered_and_their_errors_raised_where_they_are_awaited(path: Path) -> None:
    async with StoreThread(path, history_limit=50) as store:
        assert (store.fresh, store.notes) == (True, [])
        assert await store.call(Store.add_device, device())
        assert await store.call(Store.change, device().uuid, commit="c")
        found: list[Device] = await store.call(Store.devices, deleted=None)
        assert found == [device(commit="c")]
        with pytest.raises(StoreError) as raised:
            await store.call(Store.change, device().uuid, failures=1 << 80)
        assert raised.value.reason == "value"
        with pytest.raises(KeyError):
            await store.call(Store.change_many, [("x", {"no such column": 1})])
        assert await store.call(lambda inner: inner._history_limit) == 50
    assert threads() == 0
    async with StoreThread(path) as store:
        assert (store.fresh, store.notes) == (False, [])


async def test_every_call_runs_in_one_thread_that_is_not_the_loops(path: Path) -> None:
    async with StoreThread(path) as store:
        seen = await asyncio.gather(*(store.call(lambda _: threading.get_ident()) for _ in range(20)))
    assert len(set(seen)) == 1
    assert seen[0] != threading.get_ident()


async def test_what_a_call_returned_from_is_on_the_disk(path: Path) -> None:
    async with StoreThread(path) as store:

        async def write(number: int) -> None:
            await store.call(Store.add_device, device(number))
            with closing(sqlite3.connect(path)) as other:
                sql = "SELECT 1 FROM devices WHERE uuid = ?"
                assert other.execute(sql, [device(number).uuid]).fetchone() == (1,)

        await asyncio.gather(*(write(number) for number in range(1, 200)))
        devices = await store.call(Store.devices)
        assert devices == [device(number) for number in range(1, 200)], "in the order of the calls"


async def test_one_of_many_that_fails_takes_no_other_with_it(path: Path) -> None:
    async with StoreThread(path) as store:
        await store.call(Store.add_many, [device(number) for number in range(1, 61)])

        def break_half_way(inner: Store) -> None:
            with inner.writing() as database:
                database.execute("UPDATE devices SET \"commit\" = 'half'")
                raise ValueError("broken")

        calls = [
            store.call(break_half_way) if number % 7 == 0 else store.call(Store.change, device(number).uuid, commit="c")
            for number in range(1, 61)
        ]
        ends = await asyncio.gather(*calls, return_exceptions=True)
    assert [isinstance(end, ValueError) for end in ends] == [number % 7 == 0 for number in range(1, 61)]
    assert stored(path) == [None if number % 7 == 0 else "c" for number in range(1, 61)]


async def test_a_fault_that_undoes_what_others_wrote_is_told_to_them_too(path: Path) -> None:
    async with StoreThread(path) as store:
        await store.call(Store.add_many, [device(number) for number in range(1, 21)])
        await store.call(Store.set_meta, "key", "value")

        def undo_all(inner: Store) -> None:
            with inner.writing() as database:
                database.execute("INSERT OR ROLLBACK INTO meta VALUES ('key', 'again')")  # as a full disk may do

        started, released = threading.Event(), threading.Event()

        def hold(_: Store) -> bool:
            started.set()
            return released.wait(10)

        holding = asyncio.create_task(store.call(hold))
        assert await asyncio.to_thread(started.wait, 10)
        calls = [
            asyncio.create_task(
                store.call(undo_all) if number == 10 else store.call(Store.change, device(number).uuid, commit="c")
            )
            for number in range(1, 21)
        ]
        await asyncio.sleep(0)
        released.set()
        ends = await asyncio.gather(*calls, return_exceptions=True)
        assert await holding
    assert [isinstance(end, StoreError) for end in ends] == [True] * 10 + [False] * 10
    assert stored(path) == [None] * 10 + ["c"] * 10


async def test_a_call_that_waits_for_a_lock_leaves_the_loop_alone(path: Path) -> None:
    async with StoreThread(path) as store:
        await store.call(Store.add_device, device())
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            waiting = asyncio.create_task(store.call(Store.change, device().uuid, commit="c"))
            for _ in range(1000):
                await asyncio.sleep(0)
            assert not waiting.done()
            other.execute("COMMIT")
        assert await waiting


async def test_calls_that_wait_together_for_a_lock_wait_once_and_those_that_only_read_are_answered(path: Path) -> None:
    timeout, count = 0.5, 20
    async with StoreThread(path, busy_timeout=timeout) as store:
        await store.call(Store.add_device, device())
        held, go = threading.Event(), threading.Event()

        def hold(_: Store) -> None:
            held.set()
            go.wait()

        with closing(sqlite3.connect(path)) as other:
            other.execute("BEGIN IMMEDIATE")
            holding = asyncio.ensure_future(store.call(hold))
            await asyncio.to_thread(held.wait)
            early = asyncio.ensure_future(store.call(Store.devices))
            writing = [asyncio.ensure_future(store.call(Store.add_device, device(2 + it))) for it in range(count)]
            late = asyncio.ensure_future(store.call(Store.devices))
            await asyncio.sleep(0)
            began = time.monotonic()
            go.set()
            await holding
            assert await early == [device()]
            assert not writing[0].done(), "nobody waits for those that come after"
            errors = await asyncio.gather(*writing, return_exceptions=True)
            assert await late == [device()]
            assert time.monotonic() - began < count * timeout / 2
        assert {error.reason for error in errors if isinstance(error, StoreError)} == {"locked"}
        assert all(isinstance(error, StoreError) for error in errors)
        assert await store.call(Store.add_device, device(2)), "the lock is gone"


async def test_whoever_stops_waiting_takes_nothing_back(path: Path) -> None:
    async with StoreThread(path) as store:
        await store.call(Store.add_many, [device(number) for number in range(1, 6)])
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            waiting = [
                asyncio.create_task(store.call(Store.change, device(number).uuid, commit="c")) for number in range(1, 6)
            ]
            await asyncio.sleep(0)
            for task in waiting:
                task.cancel()
            ends = await asyncio.gather(*waiting, return_exceptions=True)
            assert all(isinstance(end, asyncio.CancelledError) for end in ends)
            other.execute("COMMIT")
    assert stored(path) == ["c"] * 5


async def test_a_write_that_fails_while_nobody_waits_is_logged(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with StoreThread(path, busy_timeout=0.1) as store:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            waiting = asyncio.create_task(store.call(Store.add_device, device()))
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            with pytest.raises(StoreError):
                await store.call(Store.add_device, device(2))
    assert "locked by another program" in caplog.text


async def test_closing_does_what_was_asked_before_and_refuses_what_comes_after(path: Path) -> None:
    async with StoreThread(path) as store:
        await store.call(Store.add_many, [device(number) for number in range(1, 301)])
        tasks = [
            asyncio.create_task(store.call(Store.change, device(number).uuid, commit="c")) for number in range(1, 301)
        ]
        await asyncio.sleep(0)
    assert all(await asyncio.gather(*tasks))
    assert stored(path) == ["c"] * 300
    with pytest.raises(StoreError) as raised:
        await store.call(Store.devices)
    assert raised.value.reason == "closed"
    assert not has_log(path), "the last one out has put everything into the file"


async def test_more_calls_than_the_queue_holds_all_come_through(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread, "QUEUE_LIMIT", 3)
    async with StoreThread(path) as store:
        added = await asyncio.gather(*(store.call(Store.add_device, device(number)) for number in range(100)))
        assert added == [True] * 100
        assert [one.uuid for one in await store.call(Store.devices)] == [device(number).uuid for number in range(100)]


async def test_a_thread_that_hangs_is_given_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread, "CALL_TIMEOUT", 0.1)
    released = threading.Event()
    async with StoreThread(path) as store:
        with pytest.raises(StoreError) as raised:
            await store.call(lambda _: released.wait(30))
        assert (raised.value.reason, bool(raised.value.remedy)) == ("stuck", True)
        released.set()
    assert threads() == 0


async def test_closing_ends_even_if_the_thread_hangs(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(thread, "CLOSE_TIMEOUT", 0.1)
    released = threading.Event()
    async with StoreThread(path) as store:
        hanging = asyncio.create_task(store.call(lambda _: released.wait(30)))
        await asyncio.sleep(0)
    assert "did not close" in caplog.text
    released.set()
    assert await hanging


async def test_what_cannot_be_opened_raises_and_leaves_no_thread(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as raised:
        async with StoreThread(tmp_path):
            pytest.fail("it opened")
    assert raised.value.reason == "not-a-file"
    assert threads() == 0


async def test_an_opening_that_nobody_waits_for_any_more_lets_the_file_go(path: Path) -> None:
    Store.open(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        opening = asyncio.create_task(StoreThread(path).__aenter__())
        await asyncio.sleep(0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        other.execute("COMMIT")
    (worker,) = [one for one in threading.enumerate() if one.name == "store"]
    await asyncio.to_thread(worker.join, 5)
    assert not worker.is_alive()
    with Store.open(path, busy_timeout=0.1) as store:
        assert store.add_device(device())


async def test_a_thousand_openings_would_leave_nothing_behind(path: Path) -> None:
    for _ in range(20):
        async with StoreThread(path) as store:
            attempt_id = await store.call(begin)
            await store.call(Store.end_attempt, attempt_id, Outcome.FAILED, ended_at=1.0)
    gc.collect()
    assert threads() == 0
    assert len([one for one in gc.get_objects() if type(one) is Store]) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="has no such limits")
def test_on_a_full_disk_only_what_is_there_was_confirmed(path: Path) -> None:
    script = """
import asyncio, json, resource, sys
from pathlib import Path
from enmctl.errors import StoreError
from enmctl.store import Store, StoreThread
from tests.real.store.samples import device

async def main():
    async with StoreThread(Path(sys.argv[1])) as store:
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
        big = {"A": "x" * 3000}
        calls = (store.call(Store.add_device, device(number, config=big)) for number in range(300))
        ends = await asyncio.gather(*calls, return_exceptions=True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        assert await store.call(Store.add_device, device(1000))
    assert {type(end) for end in ends} == {bool, StoreError}, ends
    assert {end.reason for end in ends if end is not True} <= {"disk", "disk-full"}
    print(json.dumps([number for number, end in enumerate(ends) if end is True]))

asyncio.run(main())
"""
    command = [sys.executable, "-c", script, str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stderr, done.returncode) == ("", 0)
    confirmed = json.loads(done.stdout)
    assert 0 < len(confirmed) < 300
    with Store.open(path) as store:
        assert store.notes == []
        assert {one.uuid for one in store.devices()} == {device(number).uuid for number in [*confirmed, 1000]}
