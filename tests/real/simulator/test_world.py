"""A simulated world holds together: real HTTP, real mDNS on loopback, real uploads."""

from __future__ import annotations

import io
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from enmctl.errors import UnknownError, UsageError
from enmctl.radio.mdns import scan
from enmctl.settings import Settings
from enmctl.simulator.world import World
from enmctl.store import Store

SMALL = 16 * 1024
QUICK_BOARDS: dict[str, Any] = {"flash_speed": 10_000_000.0, "reboot_time": 0.02}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with World(boards_per_application=2, firmware_size=SMALL, board_options=QUICK_BOARDS) as world:
        yield world


async def ask(world: World, method: str, path: str, **more: Any) -> httpx.Response:
    """Ask the world's Supervisor with its key."""
    headers = {"Authorization": f"ApiKey {world.supervisor.api_key}"}
    async with httpx.AsyncClient(base_url=world.supervisor.url, headers=headers, trust_env=False) as client:
        return await client.request(method, path, **more)


async def flash(world: World, board_id: str) -> str:
    """Put the release on a board as a gateway would, and return what the board said."""
    (listed,) = (await ask(world, "GET", "/v1/dependent-apps")).json()
    asset = await ask(world, "GET", f"/v1/dependent-apps/{listed['id']}/assets/{listed['commit']}")
    with tarfile.open(fileobj=io.BytesIO(asset.content)) as tar:
        member = tar.extractfile("firmware.bin")
        assert member is not None
        firmware = member.read()
    files = {"image": ("firmware.bin", firmware, "application/octet-stream")}
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(world.boards[board_id].url + "/update", files=files)
        return answer.text


async def test_boards_are_heard_on_loopback_under_the_names_of_their_application(world: World, tmp_path: Path) -> None:
    wanted = {board.name for board in world.boards.values()}
    settings = Settings.from_environment(world.environment(tmp_path))
    heard = await scan(settings, 10, until=lambda services: wanted <= services.keys())
    for board in world.boards.values():
        service = heard[board.name]
        assert (service.addresses, service.port) == (("127.0.0.1",), board.port)
    (app_id,) = world.application_ids
    assert wanted == {f"ESP8266_{app_id}_{board_id}" for board_id in world.boards}


async def test_release_that_is_made_up_runs_on_a_board_and_tells_its_commit(world: World) -> None:
    (app_id,) = world.application_ids
    board_id, board = next(iter(world.boards.items()))
    before = board.fw
    assert "Update Success" in await flash(world, board_id)
    commit = world.supervisor.applications[app_id].commit
    await board.wait_for(lambda it: it.fw == commit, 5)
    assert before != commit
    newer = world.push(app_id)
    assert "Update Success" in await flash(world, board_id)
    await board.wait_for(lambda it: it.fw == newer, 5)


async def test_environment_makes_settings_that_point_into_the_world_alone(world: World, tmp_path: Path) -> None:
    environment = world.environment(tmp_path)
    settings = Settings.from_environment(environment)
    assert settings.supervisor_address == world.supervisor.url
    assert settings.api_key == world.supervisor.api_key
    assert settings.mdns_interfaces == "127.0.0.1"
    assert (settings.api_host, settings.api_port) == ("127.0.0.1", world.api_port)
    for path in (settings.database, settings.assets_directory, settings.lock_file, settings.balena_lock_file):
        assert tmp_path in path.parents
    assert world.supervisor.hook_address == f"http://127.0.0.1:{world.api_port}/v1/devices/"


async def test_world_without_a_key_says_so_in_the_environment(tmp_path: Path) -> None:
    async with World(boards_per_application=0, api_key=None, release_at_start=False) as world:
        assert Settings.from_environment(world.environment(tmp_path)).api_key is None
        assert (await ask(world, "GET", "/v1/dependent-apps")).json()[0]["commit"] is None


async def test_world_is_driven_over_its_control_port(world: World) -> None:
    (app_id,) = world.application_ids
    board_id, board = next(iter(world.boards.items()))
    async with httpx.AsyncClient(base_url=world.control_url, trust_env=False) as control:
        commit = (await control.post("/push", json={"application": app_id, "size": 8192})).json()["commit"]
        assert world.supervisor.applications[app_id].commit == commit
        assert (await control.post("/push", json={"application": app_id, "size": 17})).status_code == 400
        assert (await control.post("/break", json={"board": board_id, "fault": "magic"})).status_code == 200
        assert board.faults == ("magic",)
        assert (await control.post("/break", json={"board": board_id, "fault": "nonsense"})).status_code == 400
        off = (await control.post(f"/boards/{board_id}/power", json={"on": False})).json()["board"]
        on = (await control.post(f"/boards/{board_id}/power", json={"on": True})).json()["board"]
        assert (off["state"], on["state"]) == ("off", "running")
        state = (await control.get("/state")).json()
    assert [each["id"] for each in state["boards"]] == list(world.boards)
    described = world.describe()
    assert state["applications"] == described["applications"]
    assert state["supervisor"].keys() == described["supervisor"].keys(), "its counters go on"


async def test_store_and_supervisor_are_filled_alike(world: World, tmp_path: Path) -> None:
    settings = Settings.from_environment(world.environment(tmp_path))
    assert world.fill(settings.database, 20) == 20
    with Store.open(settings.database) as store:
        stored = {device.uuid for device in store.devices()}
    assert stored == {device["uuid"] for device in (await ask(world, "GET", "/v1/devices")).json()}


async def test_two_boards_may_have_one_id(world: World) -> None:
    (app_id,) = world.application_ids
    board_id = next(iter(world.boards))
    twin = await world.add_board(app_id, local_id=board_id, name_suffix="-2")
    assert world.boards[twin.name] is twin
    assert len(world.boards) == 3


async def test_unknown_applications_and_board_types_are_refused(world: World) -> None:
    with pytest.raises(UnknownError):
        world.push(1)
    with pytest.raises(UsageError, match="toaster"):
        World(applications=[(5, "greenhouse", "toaster")])
    with pytest.raises(UsageError, match="no Bluetooth"):
        await world.add_to_air("microbit-v1")


async def test_world_leaves_nothing_listening() -> None:
    async with World(boards_per_application=1) as world:
        urls = [world.supervisor.url, world.control_url, *(board.url for board in world.boards.values())]
    async with httpx.AsyncClient(trust_env=False) as client:
        for url in urls:
            with pytest.raises(httpx.ConnectError):
                await client.get(url)
