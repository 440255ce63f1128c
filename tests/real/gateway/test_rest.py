"""A gateway that has done its work is quiet: hooks come to rest, and what is gone is let go."""

from __future__ import annotations

from pathlib import Path

from enmctl.models import AttemptKind, BoardKey, Outcome
from enmctl.store import Store
from tests.real.gateway.rig import rig, until_stored

HOOKS_MOST = 6
"""Hooks that may come for one device between its first report on target and the last word of it."""

GONE_MOST = 10
"""Reports that may be under way for a device when the Supervisor says that it is gone."""


async def test_hooks_come_to_rest_once_commit_config_and_environment_were_put_back(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=1, hook_throttle=0.1) as world:
        world.supervisor.set_environment(world.app, {"COLOUR": "blue"})
        world.push()

        def at_rest() -> bool:
            if not world.on_target():
                return False
            if world.supervisor.hooks_at_rest():
                return True
            late.append(world.supervisor.hooks_sent)
            assert late[-1] - late[0] <= HOOKS_MOST, "the board is on target, and its hook comes again and again"
            return False

        late: list[int] = []
        async with world.gateway():
            await world.wait_for(at_rest)


async def test_a_device_that_is_gone_is_let_go_though_the_list_still_shows_it(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.push()
        async with world.gateway(report_interval=0.3) as running:
            await world.all_on_target()
            world.supervisor.hook_address = None
            [uuid] = world.supervisor.devices
            world.supervisor.delete_device(uuid)

            def few_are_told_410() -> bool:
                told = sum(request.status == 410 for request in world.supervisor.requests if request.method == "PUT")
                assert told <= GONE_MOST, "the Supervisor said 410, and is told on and on"
                return bool(told)

            await world.wait_for(few_are_told_410)
            await until_stored(running, lambda devices: few_are_told_410() and all(it.deleted for it in devices))


async def test_attempts_that_a_kill_left_are_ended_as_interrupted_at_the_next_start(tmp_path: Path) -> None:
    async with rig(tmp_path) as world:
        with Store.open(world.settings().database) as store:
            store.begin_attempt(AttemptKind.UPDATE, BoardKey(world.app, "1"), None, "a" * 40, 0, 0.0)
        async with world.gateway() as running:
            [attempt] = await running.gateway.crew.store.call(Store.attempts)
            assert attempt.outcome is Outcome.INTERRUPTED, "nobody is at it any more"
