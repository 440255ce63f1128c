"""A gateway brings boards to their firmware and tells the Supervisor: the whole way, over real sockets."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from enmctl.models import DeviceStatus, Outcome, Proof
from enmctl.store import Store
from enmctl.store.reading import read_events
from tests.real.gateway.rig import WITHIN, Rig, eventually, rig, until_stored, until_views


async def test_boards_are_found_provisioned_updated_and_reported_and_the_hooks_come_to_rest(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=3) as world:
        commit = world.push()
        async with world.gateway() as running:
            await world.all_on_target()
            assert {board.fw for board in world.boards} == {commit}
            views = await running.steward.devices()
            assert {view.device.local_id for view in views} == {board.local_id for board in world.boards}
            assert {view.status for view in views} == {DeviceStatus.IDLE}


async def test_the_six_statuses_are_seen_in_their_order(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.push()
        async with world.gateway():
            await world.all_on_target()
        [history] = world.supervisor.status_history.values()
        seen = list(history)
        updating = ["Downloading", "Installing", "Stopping", "Starting", "Idle"]
        start = seen.index("Downloading")
        assert list(dict.fromkeys(seen[start : seen.index("Idle", start) + 1])) == updating
        assert seen[-1] == "Offline", "an orderly stop says that the device is out of reach"


async def test_progress_is_told_at_steps_of_ten_per_cent(tmp_path: Path) -> None:
    async with rig(tmp_path) as world:
        await world.add_board(flash_speed=100_000.0)
        world.push(size=128 * 1024)
        async with world.gateway():
            await world.all_on_target()
        [progress] = world.supervisor.progress.values()
        assert list(progress) == sorted(progress)
        assert all(percent % 10 == 0 for percent in progress)
        assert len(progress) >= 5


async def test_a_commit_is_reported_only_once_the_board_is_back_and_runs_it(tmp_path: Path) -> None:
    async with rig(tmp_path) as world:
        board = await world.add_board(reboot_time=1.0)
        commit = world.push()

        def never_a_false_done() -> bool:
            told = {row.commit for row in world.supervisor.devices.values()}
            assert commit not in told or (board.fw == commit and board.state == "running")
            return world.on_target()

        async with world.gateway():
            await world.wait_for(never_a_false_done)


async def test_how_success_is_known_stands_in_the_journal(tmp_path: Path) -> None:
    async with rig(tmp_path) as world:
        telling = await world.add_board()
        silent = await world.add_board(contract=False)
        world.push()
        async with world.gateway() as running:
            await world.all_on_target()
            attempts = await running.gateway.crew.store.call(Store.attempts)
        proofs = {attempt.local_id: attempt.proof for attempt in attempts if attempt.outcome is Outcome.SUCCEEDED}
        assert proofs[telling.local_id] is Proof.VERSION_READ_BACK
        assert proofs[silent.local_id] is Proof.CHECK_AND_RETURN


async def test_a_pushed_commit_rolls_out_by_the_hook_alone(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=2) as world:
        world.push()
        async with world.gateway(loop_delay=60.0):
            await world.all_on_target()
            second = world.push()
            await world.all_on_target()
            assert {board.fw for board in world.boards} == {second}


async def test_a_commit_pushed_during_an_upload_is_what_the_board_ends_on(tmp_path: Path) -> None:
    async with rig(tmp_path) as world:
        board = await world.add_board(flash_speed=60_000.0)
        world.push(size=96 * 1024)
        async with world.gateway():
            await board.wait_for(lambda it: it.uploading, WITHIN)
            newest = world.push()
            await world.all_on_target()
            assert board.fw == newest


async def test_a_quiet_pass_costs_two_questions_whatever_the_number_of_devices(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=4) as world:
        world.push()
        async with world.gateway(loop_delay=0.1):
            await world.all_on_target()
            lists = {"/v1/dependent-apps", "/v1/devices"}

            def three_quiet_passes() -> bool:
                last = list(world.supervisor.requests)[-6:]
                return [request.path in lists for request in last] == [True] * 6

            await eventually(three_quiet_passes)


async def test_a_new_environment_is_handed_to_the_board_and_put_back(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.push()
        async with world.gateway():
            await world.all_on_target()
            [uuid] = world.supervisor.devices
            world.supervisor.set_environment(uuid, {"COLOUR": "blue"})
            await world.wait_for(
                lambda: (
                    world.supervisor.devices[uuid].environment == {"COLOUR": "blue"}
                    and world.supervisor.hooks_at_rest()
                )
            )
            assert world.boards[0].environment == {"COLOUR": "blue"}
            assert not world.boards[0].uploads or len(world.boards[0].uploads) == 1, "and nothing is flashed for it"


async def test_firmware_without_a_channel_counts_as_having_its_environment_and_that_is_said_once(
    tmp_path: Path,
) -> None:
    async with rig(tmp_path) as world:
        await world.add_board(contract=False)
        world.push(fw=None)
        async with world.gateway(dependent_log_level="info"):
            await world.all_on_target()
            [uuid] = world.supervisor.devices
            for colour in ("blue", "red"):
                world.supervisor.set_environment(uuid, {"COLOUR": colour})
                await world.wait_for(partial(_has_environment, world, uuid, {"COLOUR": colour}))
        told = [event.message for event in read_events(world.settings().database, limit=1000)]
        for name in ("config", "environment"):
            assert sum(f"takes no {name}" in message for message in told) == 1


def _has_environment(world: Rig, uuid: str, wanted: dict[str, str]) -> bool:
    return world.supervisor.devices[uuid].environment == wanted


async def test_a_board_that_is_switched_off_is_offline_and_one_that_returns_is_caught_up(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=2) as world:
        world.push()
        async with world.gateway():
            await world.all_on_target()
            away = world.boards[0]
            await away.power(on=False)
            await world.wait_for(lambda: sorted(world.statuses()) == ["Idle", "Offline"])
            newest = world.push()
            await world.wait_for(lambda: newest in [row.commit for row in world.supervisor.devices.values()])
            await away.power(on=True)
            await world.all_on_target()
            assert away.fw == newest


async def test_a_board_that_comes_back_under_another_address_is_followed(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.boards[0].break_with("returns-elsewhere")
        world.push()
        async with world.gateway(return_timeout=15.0):
            await world.all_on_target()
            newest = world.push()
            await world.all_on_target()
            assert world.boards[0].fw == newest


@pytest.mark.parametrize(
    "fault",
    ["flash-write", "silent-mid-upload", "reset-mid-upload", "answer-lost", "silent-after-upload", "comes-back-old"],
)
async def test_one_boards_fault_is_that_boards_and_passes(tmp_path: Path, fault: str) -> None:
    async with rig(tmp_path, boards=2) as world:
        sick, healthy = world.boards
        sick.watchdog = 1.0
        sick.break_with(fault)
        commit = world.push()
        async with world.gateway(answer_timeout=1.0, stall_timeout=1.0):
            await world.wait_for(lambda: commit in [row.commit for row in world.supervisor.devices.values()])
            await world.all_on_target()
            assert {sick.fw, healthy.fw} == {commit}
            assert len(healthy.uploads) == 1


async def test_a_board_that_refuses_gets_no_second_image_until_the_target_changes(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=1) as world:
        [board] = world.boards
        board.break_with("new-flash-config", times=1)
        world.push()
        async with world.gateway() as running:
            await board.wait_for(lambda it: len(it.uploads) == 1 and not it.uploading, WITHIN)
            store = running.gateway.crew.store
            await until_stored(running, lambda devices: any(device.failed_permanently for device in devices))
            [attempt] = await store.call(Store.attempts)
            assert attempt.outcome is Outcome.FAILED
            assert "real size" in attempt.message
            assert len(board.uploads) == 1
            newest = world.push()
            await world.all_on_target()
            assert board.fw == newest


@pytest.mark.parametrize("fault", ["404", "500", "truncated", "garbage-tar", "escaping", "empty", "cut-halfway"])
async def test_an_asset_that_is_broken_once_poisons_nothing(tmp_path: Path, fault: str) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.supervisor.fail("assets", fault, times=1)
        commit = world.push()
        async with world.gateway():
            await world.all_on_target()
            assert world.boards[0].fw == commit
        assert not _files_called(tmp_path, "escaped")


async def test_bad_firmware_never_reaches_a_board_and_waits_for_another_commit(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.push(assets={"firmware.bin": b"<html>not found</html>" * 1000})
        async with world.gateway() as running:
            await until_stored(running, lambda devices: any(device.failed_permanently for device in devices))
            assert not world.boards[0].uploads
            newest = world.push()
            await world.all_on_target()
            assert world.boards[0].fw == newest


async def test_what_happened_while_the_cloud_was_away_is_told_when_it_is_back(tmp_path: Path) -> None:
    async with rig(tmp_path) as world:
        board = await world.add_board(flash_speed=80_000.0)
        commit = world.push()
        async with world.gateway():
            await board.wait_for(lambda it: it.uploading, WITHIN)
            world.supervisor.cloud_online = False
            await board.wait_for(lambda it: it.fw == commit and it.state == "running", WITHIN)
            assert {row.commit for row in world.supervisor.devices.values()} == {None}
            world.supervisor.cloud_online = True
            await world.all_on_target()


async def test_the_gateway_works_on_while_the_supervisor_is_down(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.push()
        async with world.gateway() as running:
            await world.all_on_target()
            await world.supervisor.stop_listening()
            await world.boards[0].power(on=False)
            await until_views(running, lambda views: views[0].status is DeviceStatus.OFFLINE)
            assert running.steward.turning()
            await world.boards[0].power(on=True)
            await world.supervisor.listen_again()
            newest = world.push()
            await world.all_on_target()
            assert world.boards[0].fw == newest


async def test_firmware_that_nothing_needs_any_more_is_removed_and_the_last_good_one_is_kept(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=1) as world:
        first = world.push()
        async with world.gateway():
            await world.all_on_target()
            second = world.push()
            await world.all_on_target()
            third = world.push()
            await world.all_on_target()
            assets = tmp_path / "assets" / str(world.app)
            await eventually(lambda: not (assets / first).exists())
            assert (assets / second).is_dir(), "it is what the board would go back to"
            assert (assets / third).is_dir()


def _files_called(folder: Path, name: str) -> list[Path]:
    return list(folder.rglob(name))
