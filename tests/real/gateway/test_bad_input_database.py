"""Bad input by the database's door: locked, damaged, not to be written, no room left.

Elsewhere: what the store itself says of each (``tests/real/store/test_faults``, ``test_damage``, ``test_opening``), a
database that is lost (``test_a_lost_database_adopts_the_devices_that_are_listed``), two gateways over one
(``test_instance``), a small file system that is really full and one that is mounted read-only (``tests/system``), how
commands tell a damaged one (``tests/real/cli/test_devices.test_a_damaged_database_is_one_line_with_what_to_do``).
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from enmctl.errors import ExitCode
from enmctl.gateway import workers
from enmctl.store import Store, StoreThread
from tests.real.gateway import on_a_full_disk
from tests.real.gateway.lines import no_bug_is_told, said
from tests.real.gateway.process import end, whole_environment
from tests.real.gateway.rig import WITHIN, eventually, rig, until_views

PAGE = 4096
AS_ROOT = os.name == "posix" and os.geteuid() == 0
WITHOUT_POWERS = shutil.which("setpriv")
"""Runs a program as root that may only do what the rights of files say."""

posix = pytest.mark.skipif(os.name != "posix", reason="limits and rights of POSIX")


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")


@asynccontextmanager
async def locked(database: Path) -> AsyncGenerator[None]:
    """Another program writes to the database for as long as this lasts."""
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def test_a_database_that_another_program_locks_holds_work_up_and_loses_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert StoreThread.__init__.__kwdefaults__
    monkeypatch.setitem(StoreThread.__init__.__kwdefaults__, "busy_timeout", 0.1)
    monkeypatch.setattr(workers, "REST", 0.5)
    async with rig(tmp_path, boards=2) as world:
        first = world.push()
        async with world.gateway() as running:
            await world.all_on_target()
            async with locked(running.gateway.crew.settings.database):
                newest = world.push()
                await eventually(lambda: bool(said(caplog, "locked by another program")))
                asked = len(world.supervisor.requests)
                await world.wait_for(lambda: len(world.supervisor.requests) > asked + 8)
                assert {board.fw for board in world.boards} == {first}, "nothing is sent that cannot be written down"
                assert len(await running.steward.devices()) == 2, "and reading goes on"
                assert running.steward.turning()
            [line] = said(caplog, "a pass failed", "locked by another program")
            assert "end that program" in line
            await world.all_on_target()
            assert {board.fw for board in world.boards} == {newest}
        assert no_bug_is_told(caplog)
        assert world.supervisor.inserted == 2


@pytest.mark.parametrize("damage", ["garbage", "a page", "half"])
async def test_a_damaged_database_is_set_aside_and_the_gateway_carries_on_with_as_many_devices_as_boards(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    async with rig(tmp_path, boards=3) as world:
        world.push()
        async with world.gateway() as running:
            await world.all_on_target()
            database = running.gateway.crew.settings.database
        _damage(database, damage)
        caplog.clear()
        async with world.gateway() as running:
            newest = world.push()
            await until_views(running, lambda views: len(views) == 3)
            await world.all_on_target()
            assert {board.fw for board in world.boards} == {newest}
        [line] = said(caplog, "was damaged")
        assert "it is kept as enm.db.damaged-" in line
        assert "\n" not in line
        assert len(_set_aside(database)) == 1
        assert len(world.supervisor.devices) == world.supervisor.inserted == 3
        assert no_bug_is_told(caplog)


def _damage(database: Path, kind: str) -> None:
    if kind == "garbage":
        database.write_bytes(b"no database\n" * 2000)
    elif kind == "half":
        database.write_bytes(database.read_bytes()[: database.stat().st_size // 2])
    else:
        with closing(sqlite3.connect(database)) as connection:
            (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'devices'").fetchone()
        with database.open("r+b") as file:
            file.seek((page - 1) * PAGE)
            file.write(b"\xff" * PAGE)


def _set_aside(database: Path) -> list[str]:
    names = [file.name for file in database.parent.iterdir() if ".damaged-" in file.name]
    return [name for name in names if not name.endswith(("-wal", "-shm"))]


async def test_damage_that_shows_while_the_gateway_runs_stops_no_loop_and_the_next_start_mends_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.push()
        async with world.gateway() as running:
            await world.all_on_target()
            database = running.gateway.crew.settings.database
            await asyncio.to_thread(_fold_in, database)
            _damage(database, "a page")
            with closing(sqlite3.connect(database)) as beside:
                beside.execute("DELETE FROM meta")  # what was read before is not believed any more
                beside.commit()
            await eventually(lambda: bool(said(caplog, "a pass failed", "is damaged")))
            assert running.steward.turning()
            assert "restart" in said(caplog, "a pass failed")[0]
            assert len(said(caplog, "a pass failed", "is damaged")) == 1
        async with world.gateway():
            newest = world.push()
            await world.all_on_target()
            assert world.boards[0].fw == newest
        assert world.supervisor.inserted == 1


def _fold_in(database: Path) -> None:
    """Bring the write-ahead log into the file, so that the file's pages are what is read.

    From beside, as the store's thread may have it in one transaction with a write, in which SQLite folds nothing in.
    """
    with closing(sqlite3.connect(database, timeout=WITHIN)) as beside:
        ((busy, _, _),) = beside.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    assert not busy


def forbid(folder: Path, what: str) -> None:
    """Let nobody write to the folder, or to the database in it alone."""
    Store.open(folder / "enm.db").close()
    (folder / "enm.db.lock").touch()
    (folder / "enm.db").chmod(0o444)
    if what == "folder":
        folder.chmod(0o555)


@posix
@pytest.mark.skipif(AS_ROOT and WITHOUT_POWERS is None, reason="root may write everywhere, and there is no setpriv")
@pytest.mark.parametrize("what", ["folder", "file"])
async def test_a_database_that_may_not_be_written_ends_the_start_with_one_line(tmp_path: Path, what: str) -> None:
    async with rig(tmp_path, boards=1) as world:
        folder = tmp_path / "database"
        forbid(folder, what)
        process = await asyncio.create_subprocess_exec(
            *((WITHOUT_POWERS, "--bounding-set=-all", "--inh-caps=-all") if AS_ROOT and WITHOUT_POWERS else ()),
            *(sys.executable, "-m", "enmctl", "run"),
            env=whole_environment(world.environment()),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(WITHIN):
                output, talk = await process.communicate()
        finally:
            await end(process)
        assert (process.returncode, output) == (ExitCode.FILE, b""), talk
        message, remedy = talk.decode().splitlines()
        assert str(folder) in message
        assert "ENM_DB_DIRECTORY" in remedy
        assert world.supervisor.inserted == 0


@posix
@pytest.mark.parametrize("finds", ["news", "journal", "upload"])
async def test_without_room_nothing_is_done_or_told_that_cannot_be_written_down_and_with_room_all_goes_on(
    tmp_path: Path, finds: str
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", "tests.real.gateway.on_a_full_disk", str(tmp_path), "limit", finds),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(2 * WITHIN):
        output, talk = await process.communicate()
    assert (process.returncode, talk.decode()) == (0, "")
    on_a_full_disk.check(json.loads(output), finds)
