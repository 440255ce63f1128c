"""A program shares the radios with a running gateway, other programs, and people."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import enmctl
from enmctl.gateway.run import Running
from enmctl.library import pausing
from enmctl.models import GatewayStatus
from enmctl.simulator.images import esp8266_image
from tests.real.gateway.rig import SMALL, WITHIN, Rig, eventually, rig

ENOUGH = 0.5
"""Seconds within which something that must not happen would have happened."""


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig(tmp_path, boards=1) as made:
        yield made


@pytest.fixture
async def gateway(world: Rig) -> AsyncIterator[Running]:
    """A gateway at work, with its board on target."""
    world.push()
    async with world.gateway() as running:
        await world.all_on_target()
        yield running


@pytest.fixture
def settings(world: Rig) -> enmctl.Settings:
    return world.settings()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pausing, "LOOK", 0.02)
    monkeypatch.setattr(pausing, "LOOK_AGAIN", 0.02)


async def test_a_pause_tells_its_name_and_ends_with_the_context(gateway: Running, settings: enmctl.Settings) -> None:
    async with enmctl.paused("logger", settings) as pause:
        assert gateway.steward.current_status is GatewayStatus.PAUSED
        assert gateway.steward.paused_by.startswith("logger (process ")
        assert not gateway.gateway.crew.discovery.is_listening
        assert not pause.is_over
    assert gateway.steward.target_status is GatewayStatus.RUNNING


async def test_a_running_transfer_ends_before_the_program_begins(world: Rig, settings: enmctl.Settings) -> None:
    board = await world.add_board(flash_speed=100_000.0)
    world.push(size=64 * 1024)
    async with world.gateway():
        await board.wait_for(lambda it: it.uploading, WITHIN)
        async with enmctl.paused("logger", settings):
            assert not board.uploading
            assert board.uploads


async def test_a_pause_outlasts_its_lease_for_as_long_as_the_program_lives(
    gateway: Running, settings: enmctl.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pausing, "LEASE", 1.5)
    monkeypatch.setattr(pausing, "RENEWAL", 0.05)
    async with enmctl.paused("logger", settings) as pause:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pause.over(), 1.8)
        assert gateway.steward.current_status is GatewayStatus.PAUSED


async def test_the_gateway_goes_on_when_the_program_has_died(
    gateway: Running, settings: enmctl.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pausing, "LEASE", 0.2)
    async with enmctl.paused("logger", settings) as pause:
        await asyncio.wait_for(pause.over(), WITHIN)
        assert gateway.steward.target_status is GatewayStatus.RUNNING


@pytest.mark.parametrize("then", [GatewayStatus.PAUSED, GatewayStatus.RUNNING])
async def test_what_a_person_says_meanwhile_stays(
    gateway: Running, settings: enmctl.Settings, then: GatewayStatus
) -> None:
    async with enmctl.paused("logger", settings) as pause:
        await gateway.steward.set_target_status(then)
        await asyncio.wait_for(pause.over(), WITHIN)
        assert pause.is_over
    assert gateway.steward.target_status is then


async def test_a_pause_that_a_person_made_is_left_as_it_is(gateway: Running, settings: enmctl.Settings) -> None:
    await gateway.steward.set_target_status(GatewayStatus.PAUSED)
    async with enmctl.paused("logger", settings):
        assert gateway.steward.paused_by == ""
    assert gateway.steward.target_status is GatewayStatus.PAUSED


async def test_a_second_program_waits_for_the_first(gateway: Running, settings: enmctl.Settings) -> None:
    events: list[str] = []

    async def second() -> None:
        async with enmctl.paused("second", settings):
            events.append("second begins")

    async with enmctl.paused("first", settings):
        waiting = asyncio.create_task(second())
        await asyncio.wait({waiting}, timeout=ENOUGH)
        events.append("first ends")
    await asyncio.wait_for(waiting, WITHIN)
    assert events == ["first ends", "second begins"]
    assert gateway.steward.target_status is GatewayStatus.RUNNING


async def test_nobody_is_waited_for_where_no_gateway_runs(settings: enmctl.Settings) -> None:
    async with enmctl.paused("logger", settings) as pause:
        assert not pause.is_over


async def test_a_gateway_elsewhere_is_named_by_its_address(
    gateway: Running, tmp_path: Path, settings: enmctl.Settings
) -> None:
    elsewhere = enmctl.Settings(db_directory=tmp_path / "elsewhere", api_token=settings.api_token)
    async with enmctl.paused("logger", elsewhere, gateway=gateway.api.address):
        assert gateway.steward.current_status is GatewayStatus.PAUSED


async def test_boards_are_worked_on_beside_a_paused_gateway_alone(
    world: Rig, gateway: Running, settings: enmctl.Settings, tmp_path: Path
) -> None:
    (board,) = world.boards
    file = tmp_path / "mine.bin"
    file.write_bytes(esp8266_image(fw="mine", size=SMALL))
    async with enmctl.open_radios(settings, board_type="esp8266") as radios:
        found = await radios.find(board.local_id)
        for work in (found.restart, found.identify, lambda: anext(found.flash(file))):
            with pytest.raises(enmctl.errors.BusyError, match="has the radios"):
                await work()
        async with enmctl.paused("logger", settings):
            steps = [step async for step in found.flash(file, hold=True)]
    assert steps[-1].proof is enmctl.Proof.VERSION_READ_BACK
    assert board.fw == "mine"
    await eventually(lambda: gateway.steward.target_status is GatewayStatus.RUNNING)
