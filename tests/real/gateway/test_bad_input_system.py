"""Bad input by the system's door: a port that is taken, a clock that is stepped.

Elsewhere: every odd state of the port (``api/test_server``), a second gateway (``tests/real/cli/test_beside_gateway``,
``test_instance``), backoff and full reports under any clock as a pure function
(``tests/logic/gateway/test_decide.test_a_clock_that_was_set_back_holds_nobody_up``), a foreign update lock
(``test_a_foreign_update_lock_holds_transfers_up_and_nothing_else``, ``update_lock``).
"""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from enmctl.errors import ExitCode
from enmctl.gateway.run import Running
from enmctl.models import GatewayStatus
from tests.real.gateway.lines import no_bug_is_told
from tests.real.gateway.process import enmctl
from tests.real.gateway.rig import eventually, rig, until_stored

DAY = 86_400.0


def step_clock(running: Running, seconds: float) -> None:
    """Set the gateway's wall clock forward, or back."""
    running.gateway.crew.now = lambda: time.time() + seconds


async def test_a_gateway_whose_port_is_taken_exits_9_and_names_it(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.push()
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            ended = await enmctl(world.environment(api_port=port), "run")
        assert ended.code == ExitCode.BUSY
        assert ended.output == ""
        message, remedy = [line for line in ended.talk.splitlines() if "INFO" not in line]
        assert str(port) in message
        assert "ENM_API_PORT" in remedy
        assert world.supervisor.inserted == 0
        async with world.gateway():
            await world.all_on_target()


@pytest.mark.parametrize("seconds", [-400 * DAY, -30.0, 30.0, 400 * DAY])
async def test_a_clock_that_is_stepped_while_a_device_waits_to_be_tried_again_makes_it_wait_no_longer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, seconds: float
) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.boards[0].break_with("flash-write")
        commit = world.push()
        async with world.gateway(retry_delay=20.0, retry_delay_most=20.0) as running:
            await until_stored(running, lambda devices: any(device.failures for device in devices))
            step_clock(running, seconds)
            await world.all_on_target(within=35.0)
            assert world.boards[0].fw == commit
        assert no_bug_is_told(caplog)


@pytest.mark.parametrize("seconds", [-400 * DAY, 400 * DAY])
async def test_a_clock_that_is_stepped_costs_one_full_report_and_no_flood(tmp_path: Path, seconds: float) -> None:
    async with rig(tmp_path, boards=2) as world:
        world.push()
        async with world.gateway() as running:
            await world.all_on_target()
            reports = _reports(world.supervisor.requests)
            step_clock(running, seconds)
            asked = len(world.supervisor.requests)
            await world.wait_for(lambda: len(world.supervisor.requests) > asked + 16)
            assert _reports(world.supervisor.requests) <= reports + 2
            newest = world.push()
            await world.all_on_target()
            assert {board.fw for board in world.boards} == {newest}


def _reports(requests: object) -> int:
    return sum(request.method == "PUT" for request in requests)  # type: ignore[attr-defined] # a deque of the simulator's


async def test_a_clock_that_was_set_back_between_two_runs_does_not_prolong_a_pause(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.push()
        async with world.gateway() as running:
            step_clock(running, 400 * DAY)
            await running.steward.set_target_status(GatewayStatus.PAUSED, seconds=1.0)
            await eventually(lambda: running.steward.current_status is GatewayStatus.PAUSED)
        async with world.gateway():
            await world.all_on_target()
