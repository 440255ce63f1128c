"""What is believed of a board whose update did not come to its end: what is known, and nothing that may be wrong."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import aclosing, closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from enmctl.boards.contract import BoardDriver, Firmware
from enmctl.errors import EnmError, RefusedError, StoreError, TransferError, UnsettledError
from enmctl.gateway import by_hand
from enmctl.gateway.actions import Update
from enmctl.gateway.attempts import Journal, attempt
from enmctl.gateway.control import Job, JobKind
from enmctl.gateway.crew import Crew
from enmctl.gateway.decide import Seen, Stored, decide
from enmctl.gateway.jobs import Target
from enmctl.gateway.lookout import Bench
from enmctl.gateway.run import Running
from enmctl.gateway.updating import _check_still_wanted
from enmctl.gateway.workers import Gate
from enmctl.models import (
    Application,
    Attempt,
    AttemptKind,
    BoardKey,
    BoardMode,
    Desired,
    Device,
    DiscoveredBoard,
    ListedDevice,
    Outcome,
    Proof,
    Radio,
    Stage,
    Step,
)
from enmctl.settings import Settings
from enmctl.simulator.esp8266 import SimulatedEsp8266
from enmctl.simulator.images import esp8266_image
from enmctl.store import Store, StoreThread
from tests.real.gateway.process import running_process
from tests.real.gateway.rig import WITHIN, eventually, rig, until_stored

AWAY = 60.0
"""Seconds for which a board that restarts is away: longer than anything here lasts."""


def assets(version: str) -> dict[str, bytes]:
    """Firmware whose version is no commit, so that what the board tells proves nothing."""
    return {"firmware.bin": esp8266_image(fw=version, size=48 * 1024)}


async def attempts_of(running: Running) -> list[Attempt]:
    return await running.gateway.crew.store.call(Store.attempts)


async def one_device(running: Running, **wanted: Any) -> Device:
    """The one device, once it is so."""
    found: list[Device] = []

    def fits(devices: list[Device]) -> bool:
        found[:] = [each for each in devices if all(getattr(each, name) == wanted[name] for name in wanted)]
        return bool(found)

    await until_stored(running, fits)
    return found[0]


async def goes_down_with(board: SimulatedEsp8266, version: str) -> None:
    """Wait until it has been sent this and restarts."""
    await board.wait_for(lambda it: it.fw == version and it.state == "starting", WITHIN)


async def comes_back(board: SimulatedEsp8266) -> None:
    board.reboot_time = 0.2
    await board.stop()
    await board.start()


@pytest.mark.parametrize("ends", ["killed", "stopped"])
async def test_a_board_that_was_rebooting_as_the_gateway_ended_is_sent_its_old_firmware_when_that_is_wanted(
    tmp_path: Path, ends: str
) -> None:
    async with rig(tmp_path, boards=1) as world:
        [board] = world.boards
        old = world.push(assets=assets("one"))
        environment = world.environment(stop_timeout=0.1, return_timeout=AWAY)
        async with running_process(environment, "run", log=tmp_path / "log") as process:
            await world.all_on_target()
            board.reboot_time = AWAY
            world.push(assets=assets("two"))
            await goes_down_with(board, "two")
            if ends == "killed":
                process.kill()
            else:
                process.terminate()
            await process.wait()
        await comes_back(board)
        world.supervisor.push(world.app, assets("one"), old)
        async with running_process(environment, "run", log=tmp_path / "log"):
            await board.wait_for(lambda it: it.fw == "one" and it.state == "running", WITHIN)


async def test_a_board_that_is_not_back_at_the_limit_of_an_update_is_unsettled(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=1) as world:
        [board] = world.boards
        old = world.push(assets=assets("one"))
        async with world.gateway(update_timeout=3.0, return_timeout=AWAY) as running:
            await world.all_on_target()
            board.reboot_time = AWAY
            new = world.push(assets=assets("two"))
            device = await one_device(running, failed_target=new)
            assert (device.commit, device.good_commit) == (None, old)
            last = (await attempts_of(running))[0]
            assert (last.outcome, last.reason) == (Outcome.UNKNOWN, "timeout")


async def test_a_flash_by_hand_that_ends_unsettled_has_the_target_put_back(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=1) as world:
        [board] = world.boards
        target = world.push(assets=assets("one"))
        async with world.gateway(return_timeout=0.5) as running:
            await world.all_on_target()
            board.reboot_time = AWAY
            job = Job(JobKind.FLASH, board.local_id, esp8266_image(fw="mine", size=32 * 1024), "mine.bin")
            with pytest.raises(UnsettledError):
                async for _ in running.steward.work(job):
                    pass
            device = await one_device(running, commit=None)
            assert device.good_commit == target
            await comes_back(board)
            await board.wait_for(lambda it: it.fw == "one" and it.state == "running", WITHIN)


@pytest.mark.parametrize("fault", ["signature", "reset-mid-upload"])
async def test_a_board_that_is_known_to_run_what_it_ran_is_in_no_doubt(tmp_path: Path, fault: str) -> None:
    async with rig(tmp_path, boards=1) as world:
        [board] = world.boards
        old = world.push(assets=assets("one"))
        async with world.gateway(retry_delay=AWAY, retry_delay_most=AWAY) as running:
            await world.all_on_target()
            board.break_with(fault)
            new = world.push(assets=assets("two"))
            device = await one_device(running, failed_target=new)
            assert device.commit == old
            assert (await attempts_of(running))[0].outcome is Outcome.FAILED


async def test_a_success_that_is_being_written_down_is_not_called_interrupted(tmp_path: Path) -> None:
    path = tmp_path / "enm.db"
    async with StoreThread(path) as store:
        crew = cast("Crew", SimpleNamespace(store=store, now=lambda: 100.0, gate=Gate(), came_at={}))
        journals: list[Journal] = []

        async def update() -> None:
            async with attempt(crew, AttemptKind.UPDATE, BoardKey(7, "1"), "u1", "c1") as journal:
                journals.append(journal)
                other.execute("BEGIN IMMEDIATE")
                await journal.succeed("u1", proof=Proof.VERSION_READ_BACK, commit="c1", held_target=None)

        with closing(sqlite3.connect(path)) as other:
            task = asyncio.create_task(update())
            await eventually(lambda: bool(journals) and not journals[0].is_open)
            task.cancel()
            await asyncio.wait({task}, timeout=0.1)
            other.rollback()
            await asyncio.wait({task})
        [row] = await store.call(Store.attempts)
        assert row.outcome is Outcome.SUCCEEDED


async def test_a_success_that_cannot_be_written_down_leaves_doubt(tmp_path: Path) -> None:
    async with StoreThread(tmp_path / "enm.db") as store:
        await store.call(Store.add_device, Device("u1", 7, "esp8266", "1", commit="c0"))
        crew = cast("Crew", SimpleNamespace(store=store, now=lambda: 100.0, gate=Gate(), came_at={}))

        async def update() -> None:
            async with attempt(crew, AttemptKind.UPDATE, BoardKey(7, "1"), "u1", "c1") as journal:
                await journal.note(STARTED)
                await store.call(_make_success_impossible)
                await journal.succeed("u1", proof=Proof.RETURN_ALONE, commit="c1", held_target=None)

        with pytest.raises(StoreError):
            await update()
        [row] = await store.call(Store.attempts)
        assert row.outcome is Outcome.FAILED
        [device] = await store.call(Store.devices)
        assert (device.commit, device.good_commit) == (None, "c0")


def _make_success_impossible(store: Store) -> None:
    with store.writing() as database:
        database.execute(
            "CREATE TRIGGER full BEFORE UPDATE OF commit_at ON devices BEGIN SELECT RAISE(ABORT, 'full'); END"
        )


STARTED = Step(Stage.TRANSFERRING, 10, 100)
ALL_SENT = Step(Stage.TRANSFERRING, 100, 100)
GONE_DOWN = Step(Stage.ACTIVATING)
BACK = Step(Stage.DONE, proof=Proof.CHECK_AND_RETURN)


class OneBoard:
    """A driver that plays steps, then raises or waits; ``left`` is what its board is left with."""

    def __init__(self, steps: list[Step], error: Exception | None = None, left: str = "") -> None:
        self.steps = steps
        self.error = error
        self.left = left

    def read_firmware(self, *_: object) -> Firmware:
        return Firmware("esp8266", b"x" * 100, "", "")

    async def update(self, *_: object) -> AsyncGenerator[Step, None]:
        for step in self.steps:
            yield step
        if self.error is not None:
            raise self.error
        await asyncio.Event().wait()

    async def left_with(self, _: DiscoveredBoard) -> str:
        return self.left


IN_DOUBT: dict[str, tuple[OneBoard, Outcome]] = {
    "unsettled": (OneBoard([STARTED, GONE_DOWN], UnsettledError("it did not come back")), Outcome.UNKNOWN),
    "half a program": (OneBoard([STARTED], TransferError("lost"), "it waits in its bootloader"), Outcome.FAILED),
    "the limit, all sent": (OneBoard([STARTED, ALL_SENT]), Outcome.UNKNOWN),
    "the limit, half sent": (OneBoard([STARTED], left="it waits in its bootloader"), Outcome.FAILED),
    "a bug": (OneBoard([STARTED], ValueError("what?")), Outcome.FAILED),
}
KNOWN: dict[str, tuple[OneBoard, Outcome]] = {
    "nothing sent": (OneBoard([Step(Stage.CHECKING)], TransferError("lost"), "who knows"), Outcome.FAILED),
    "refused": (OneBoard([STARTED, ALL_SENT], RefusedError("no")), Outcome.FAILED),
    "lost, and as it was": (OneBoard([STARTED], TransferError("lost")), Outcome.FAILED),
    "the limit, and as it was": (OneBoard([STARTED]), Outcome.FAILED),
}


@pytest.mark.parametrize("case", [*IN_DOUBT, *KNOWN])
async def test_a_flash_by_hand_without_a_gateway_leaves_doubt_unless_the_board_is_known_to_be_as_it_was(
    tmp_path: Path, case: str
) -> None:
    driver, outcome = {**IN_DOUBT, **KNOWN}[case]
    async with StoreThread(tmp_path / "enm.db") as store:
        with pytest.raises((EnmError, ValueError)):
            async for _ in await flash(store, driver, tmp_path):
                pass
        await check(store, outcome, in_doubt=case in IN_DOUBT)


@pytest.mark.parametrize(("last", "in_doubt"), [(STARTED, False), (GONE_DOWN, True)])
async def test_a_flash_by_hand_that_is_left_early_leaves_doubt_once_the_board_had_all_of_it(
    tmp_path: Path, last: Step, in_doubt: bool
) -> None:
    async with StoreThread(tmp_path / "enm.db") as store:
        async with aclosing(await flash(store, OneBoard([STARTED, GONE_DOWN]), tmp_path)) as steps:
            async for step in steps:
                if step == last:
                    break
        await check(store, Outcome.INTERRUPTED, in_doubt=in_doubt)


async def flash(store: StoreThread, driver: OneBoard, folder: Path) -> AsyncGenerator[Step, None]:
    """A flash by hand of a device that runs c1."""
    device = Device("1" * 62, 7, "esp8266", "1265892", commit="c1", good_commit="c0")
    await store.call(Store.add_device, device)
    board = DiscoveredBoard("esp8266", 7, "1265892", Radio.WIFI, "lamp", ("127.0.0.1",))
    target = Target(board, cast("BoardDriver", driver), device, {})
    bench = Bench(Settings(update_timeout=0.2), {}, store=store)
    return by_hand.flash(bench, target, folder / "mine.bin", hold=False)


async def check(store: StoreThread, outcome: Outcome, *, in_doubt: bool) -> None:
    """That the one attempt ended so, and that it is known what its device runs, or not."""
    [device] = await store.call(Store.devices)
    assert (device.commit, device.good_commit) == ((None, "c1") if in_doubt else ("c1", "c0"))
    [ended] = await store.call(Store.attempts)
    assert (ended.kind, ended.outcome) == (AttemptKind.FLASH, outcome)


def test_a_board_in_its_bootloader_without_a_target_gets_back_what_it_ran_and_not_for_ever() -> None:
    key = BoardKey(7, "1")
    ran = Device("u1", 7, "microbit", "1", commit="a" * 40, first_listed=1)
    board = DiscoveredBoard("microbit", 7, "1", Radio.BLUETOOTH, "b", ("1",), mode=BoardMode.BOOTLOADER)
    desired = Desired({7: Application(7, "lamps", "microbit", None)}, {"u1": ListedDevice("u1", 7, "lamp", None)})

    def updates(device: Device) -> list[str]:
        found = decide(desired, {key: Seen(board, online=True)}, Stored([device]), now=100.0)
        return [action.commit for action in found if isinstance(action, Update)]

    assert updates(ran) == ["a" * 40]
    broken_off = replace(ran, commit=None, good_commit="a" * 40)
    assert updates(broken_off) == ["a" * 40]
    _check_still_wanted(cast("Crew", SimpleNamespace(desired=desired, now=lambda: 100.0)), broken_off, "a" * 40)
    failed = replace(broken_off, failures=1, failed_target="a" * 40, failed_at=90.0, retry_at=110.0)
    assert updates(failed) == [], "it waits as after any failure"
    assert updates(replace(failed, failed_permanently=True)) == []
