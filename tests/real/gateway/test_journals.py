"""What is on the disk before something is risked, so that a gateway that dies there is not the last to know."""

from __future__ import annotations

from pathlib import Path

from enmctl.models import Outcome
from enmctl.store import Store
from enmctl.store.reading import read_attempts
from tests.real.gateway.noticing import notice
from tests.real.gateway.rig import WITHIN, rig


async def test_the_attempt_is_journalled_before_the_first_byte_reaches_the_board(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=1) as world:
        [board] = world.boards
        database = world.settings().database
        journalled: list[bool] = []

        def look() -> None:
            if board.uploading and board.upload_size == 0:
                running = [attempt.outcome is Outcome.RUNNING for attempt in read_attempts(database)]
                journalled.append(running == [True])

        notice(world, look)
        world.push()
        async with world.gateway():
            await board.wait_for(lambda it: it.upload_size > 0, WITHIN)
            assert journalled, "the board has bytes, and was not seen before the first"
            assert all(journalled), "the first byte is there, and no attempt was journalled"


async def test_a_device_is_journalled_before_it_is_asked_for(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=1) as world:
        [board] = world.boards
        asked: list[list[str]] = []

        def look() -> None:
            if world.supervisor.inserted and not asked:
                with Store.open(world.settings().database) as store:
                    asked.append([pending.key.local_id for pending in store.pending()])

        notice(world, look)
        async with world.gateway():
            await world.wait_for(lambda: bool(asked))
            assert asked == [[board.local_id]], "a device was inserted, and its request was not journalled"


async def test_a_device_whose_answer_a_stop_lost_is_adopted_however_many_lists_came_before(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.push()
        async with world.gateway(loop_delay=60.0, stop_timeout=0.2) as running:
            await world.wait_for(world.on_target)
            for number in range(5):
                [row] = world.supervisor.devices.values()
                row.download_progress = number
                await running.gateway.relist()
            world.supervisor.fail("provision", "no-answer")
            await world.add_board()
            await world.wait_for(lambda: world.supervisor.inserted == 2)
        world.supervisor.heal()
        async with world.gateway():
            await world.all_on_target()
            assert world.supervisor.inserted == 2
