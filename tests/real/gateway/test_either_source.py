"""The same gateway with a Supervisor and with a fleet file: what must hold of it holds with both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest

from enmctl.gateway.run import Running
from enmctl.models import DeviceStatus, GatewayStatus, Outcome, PinnedBy, Proof
from enmctl.store import Store
from tests.real.gateway.either import Either, at_rest, either, stored
from tests.real.gateway.rig import WITHIN, eventually, until_stored, until_views


@pytest.fixture(params=["supervisor", "file"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Either]:
    async with either(request.param, tmp_path, boards=2) as made:
        yield made


async def asked(running: Running, method: str, path: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=running.api.address) as client:
        return await client.request(method, path)


async def test_boards_are_found_made_devices_of_and_brought_to_their_firmware(world: Either) -> None:
    fw = world.push()
    async with world.gateway() as running:
        await world.all_run(fw, running)
        await until_views(running, lambda views: {view.status for view in views} == {DeviceStatus.IDLE})
        devices = await stored(running)
        assert {device.local_id for device in devices} == {board.local_id for board in world.boards}
        assert all(device.name for device in devices)
        assert all(len(board.uploads) == 1 for board in world.boards)


async def test_the_next_version_follows_without_waiting_for_a_pass(world: Either) -> None:
    first = world.push()
    async with world.gateway(loop_delay=60.0) as running:
        await world.all_run(first, running)
        await world.all_run(world.push(), running)


async def test_a_restart_makes_no_second_device_and_sends_nothing_again(world: Either) -> None:
    fw = world.push()
    async with world.gateway() as running:
        await world.all_run(fw, running)
        before = {device.local_id: device.uuid for device in await stored(running)}
    async with world.gateway() as running:
        await until_views(running, lambda views: {view.status for view in views} == {DeviceStatus.IDLE})
        await running.gateway.turn()
        assert {device.local_id: device.uuid for device in await stored(running)} == before
    assert all(len(board.uploads) == 1 for board in world.boards)


async def test_one_boards_fault_stays_that_boards_and_is_in_the_history(world: Either) -> None:
    sick, healthy = world.boards
    sick.break_with("flash-write")
    fw = world.push()
    async with world.gateway() as running:
        await world.all_run(fw, running)
        attempts = await running.gateway.crew.store.call(Store.attempts, local_id=sick.local_id)
        last, first = attempts[0], attempts[-1]
        assert (first.outcome, bool(first.reason)) == (Outcome.FAILED, True)
        assert (last.outcome, last.proof) == (Outcome.SUCCEEDED, Proof.VERSION_READ_BACK)
        assert last.sent > 0
        assert {"downloading", "transferring", "activating", "returning"} <= last.stages.keys()
        assert len(healthy.uploads) == 1


async def test_an_environment_is_handed_over(world: Either) -> None:
    fw = world.push()
    async with world.gateway() as running:
        await world.all_run(fw, running)
        world.set_environment({"COLOUR": "blue"})
        await eventually(lambda: all(board.environment == {"COLOUR": "blue"} for board in world.boards))
        assert all(len(board.uploads) == 1 for board in world.boards)


async def test_a_device_that_the_source_drops_is_looked_after_no_more_and_nothing_is_wiped(world: Either) -> None:
    fw = world.push()
    async with world.gateway() as running:
        await world.all_run(fw, running)
        gone, kept = await stored(running)
        world.drop(gone)
        await until_stored(running, lambda devices: any(each.uuid == gone.uuid and each.deleted for each in devices))
        second = world.push()
        await eventually(lambda: second in [board.fw for board in world.boards])
        [left] = [board for board in world.boards if board.local_id == gone.local_id]
        assert (left.fw, len(left.uploads)) == (fw, 1)
        assert [device.uuid for device in await stored(running, at_rest)] == [kept.uuid]


async def test_a_pause_holds_everything_up(world: Either) -> None:
    fw = world.push()
    async with world.gateway() as running:
        await world.all_run(fw, running)
        await running.steward.set_target_status(GatewayStatus.PAUSED)
        await eventually(lambda: running.steward.current_status is GatewayStatus.PAUSED)
        second = world.push()
        await running.gateway.listening.ask()
        await until_stored(running, lambda devices: all(device.commit != device.target_commit for device in devices))
        assert {board.fw for board in world.boards} == {fw}
        await running.steward.set_target_status(GatewayStatus.RUNNING)
        await world.all_run(second, running)


async def test_bad_firmware_never_reaches_a_board(world: Either) -> None:
    fw = world.push()
    async with world.gateway() as running:
        await world.all_run(fw, running)
        world.push(content=b"<html>not found</html>" * 1000)
        await until_stored(running, lambda devices: all(device.failed_permanently for device in devices))
        assert all(len(board.uploads) == 1 for board in world.boards)
        await world.all_run(world.push(), running)


async def test_a_device_goes_back_by_hand_stays_there_and_comes_forward_again(world: Either) -> None:
    first = world.push()
    async with world.gateway() as running:
        await world.all_run(first, running)
        second = world.push()
        await world.all_run(second, running)
        one, other = world.boards
        assert (await asked(running, "PUT", f"/v1/devices/{one.local_id}/rollback")).status_code == 200
        await one.wait_for(lambda it: it.fw == first and it.state == "running", WITHIN)
        await until_stored(running, at_rest)
        [device] = [each for each in await stored(running) if each.local_id == one.local_id]
        shown = (await asked(running, "GET", f"/v1/devices/{one.local_id}")).json()
        assert shown["PinnedCommit"] == device.pin == device.commit
        assert device.pinned_by is PinnedBy.PERSON
        assert (await asked(running, "GET", "/v1/enm/plan")).json()["todo"] == 0
        await running.gateway.turn()
        assert (one.fw, other.fw) == (first, second)
        done = (await asked(running, "DELETE", f"/v1/devices/{one.local_id}/rollback")).json()["done"]
        assert len(done) == 1
        await world.all_run(second, running)


async def test_a_rolled_back_application_comes_forward_with_the_next_version(world: Either) -> None:
    first = world.push()
    async with world.gateway() as running:
        await world.all_run(first, running)
        await world.all_run(world.push(), running)
        answer = await asked(running, "PUT", "/v1/enm/applications/lamps/rollback")
        assert len(answer.json()["done"]) == 2
        await world.all_run(first, running)
        await world.all_run(world.push(), running)


async def test_what_cannot_go_back_says_so(world: Either) -> None:
    fw = world.push()
    async with world.gateway() as running:
        await world.all_run(fw, running)
        refused = await asked(running, "PUT", f"/v1/devices/{world.boards[0].local_id}/rollback")
        assert (refused.status_code, refused.json()["reason"]) == (404, "no-good-commit")
        unknown = await asked(running, "PUT", "/v1/enm/applications/nix/rollback")
        assert (unknown.status_code, unknown.json()["reason"]) == (404, "unknown")


async def nothing_but(running: Running, *whys: str) -> None:
    """Wait until a plan has these reasons alone for what is to be done."""
    async with asyncio.timeout(WITHIN):
        while [one.why for one in await running.steward.plan() if one.is_work] != list(whys):  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.01)


async def test_a_plan_tells_what_is_to_be_done_in_a_pause_too_and_is_empty_at_rest(world: Either) -> None:
    fw = world.push()
    async with world.gateway() as running:
        await world.all_run(fw, running)
        await nothing_but(running)
        assert (await asked(running, "GET", "/v1/enm/plan")).json()["todo"] == 0
        await running.steward.set_target_status(GatewayStatus.PAUSED)
        await eventually(lambda: running.steward.current_status is GatewayStatus.PAUSED)
        last = world.push()
        await running.gateway.relist()
        await nothing_but(running, "the gateway is paused", "the gateway is paused")
        gone, _ = world.boards
        await gone.power(on=False)
        await running.steward.set_target_status(GatewayStatus.RUNNING)
        await nothing_but(running, "it is offline: not heard")
        await gone.power(on=True)
        await world.all_run(last, running)
        await nothing_but(running)


async def test_a_plan_is_not_empty_while_boards_are_in_hand(world: Either) -> None:
    first = world.push()
    async with world.gateway() as running:
        await world.all_run(first, running)
        for board in world.boards:
            board.flash_speed = 20_000.0
        world.push()
        await until_views(running, lambda views: {view.status for view in views} == {DeviceStatus.INSTALLING})
        said = (await asked(running, "GET", "/v1/enm/plan")).json()
        waits = [row for row in said["actions"] if row["action"] == "wait"]
        assert said["todo"] == len(waits) == len(world.boards)
        assert all(row["why"].startswith("it is in hand: Installing") and row["todo"] for row in waits)
