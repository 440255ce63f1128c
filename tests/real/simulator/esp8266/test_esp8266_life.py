from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import sys
from pathlib import Path

import httpx
import pytest

from enmctl.errors import UsageError
from enmctl.radio.mdns import MdnsBrowser, MdnsService, scan
from enmctl.settings import Settings
from enmctl.simulator.esp8266 import BoardState, SimulatedEsp8266
from enmctl.simulator.esp8266_firmware import Reset
from enmctl.simulator.esp8266_update import Outcome
from enmctl.simulator.images import esp8266_image
from enmctl.simulator.mdns import LoopbackMdns
from tests.real.simulator.esp8266.conftest import LIMIT, Boards, Client

IMAGE = esp8266_image(fw="new", size=65_536)
ON_LOOPBACK = Settings(mdns_interfaces="127.0.0.1")


async def heard(*boards: SimulatedEsp8266) -> dict[str, MdnsService]:
    """What is advertised of these boards, once all of them are."""
    names = {board.name for board in boards}
    found = await scan(ON_LOOPBACK, LIMIT, until=lambda services: names <= set(services), loopback_only=True)
    return {name: found[name] for name in names}


async def test_a_board_is_heard_with_all_that_the_contract_says(responder: LoopbackMdns, boards: Boards) -> None:
    board = await boards(mdns=responder, advertise=True, local_id="1265892")
    service = (await heard(board))[f"ESP8266_{board.application_id}_1265892"]
    assert (service.port, service.addresses) == (board.port, ("127.0.0.1",))
    assert service.properties == {
        "app": str(board.application_id),
        "type": "ESP8266",
        "id": "1265892",
        "fw": "factory",
    }


async def test_an_old_sample_tells_nothing_but_its_name(
    responder: LoopbackMdns, boards: Boards, client: Client
) -> None:
    board = await boards(mdns=responder, advertise=True, contract=False)
    assert (await heard(board))[board.name].properties == {}
    assert (await client.ask(board, "GET", "/id")).status_code == 404
    assert (await client.ask(board, "POST", "/restart")).status_code == 404
    assert "Update Success" in (await client.update(board, IMAGE)).text


async def test_a_firmware_without_a_version_tells_none(responder: LoopbackMdns, boards: Boards, client: Client) -> None:
    board = await boards(mdns=responder, advertise=True, fw=None)
    assert "fw" not in (await heard(board))[board.name].properties
    assert (await client.id(board))["fw"] == ""


async def test_a_board_alone_brings_its_own_responder(boards: Boards) -> None:
    board = await boards(advertise=True)
    assert (await heard(board))[board.name].port == board.port


async def test_two_boards_with_one_id_are_told_apart_by_a_suffix(responder: LoopbackMdns, boards: Boards) -> None:
    one = await boards(mdns=responder, advertise=True, local_id="7")
    two = SimulatedEsp8266(one.application_id, "7", mdns=responder, name_suffix="-2")
    async with two:
        services = await heard(one, two)
    assert two.name == f"{one.name}-2"
    assert services[one.name].port != services[two.name].port


async def test_two_boards_with_one_name_are_refused_and_the_first_runs_on(
    responder: LoopbackMdns, boards: Boards, client: Client
) -> None:
    one = await boards(mdns=responder, advertise=True)
    with pytest.raises(UsageError, match=one.name):
        await SimulatedEsp8266(one.application_id, one.local_id, mdns=responder).start()
    await client.id(one)


async def test_a_fleet_shares_one_responder(responder: LoopbackMdns, boards: Boards) -> None:
    fleet = await asyncio.gather(*(boards(mdns=responder, advertise=True) for _ in range(30)))
    assert len(await heard(*fleet)) == 30


async def test_an_update_is_heard_as_a_new_version(responder: LoopbackMdns, boards: Boards, client: Client) -> None:
    board = await boards(mdns=responder, advertise=True)
    seen: asyncio.Queue[str] = asyncio.Queue()

    def listen(name: str, service: MdnsService | None) -> None:
        if name == board.name and service is not None:
            seen.put_nowait(service.properties["fw"])

    async with MdnsBrowser(ON_LOOPBACK, listen, loopback_only=True), asyncio.timeout(LIMIT):
        assert await seen.get() == "factory"
        await client.update(board, IMAGE)
        while await seen.get() != "new":
            pass


async def test_a_board_without_power_is_still_remembered_and_answers_nobody(
    responder: LoopbackMdns, boards: Boards, client: Client
) -> None:
    board = await boards(mdns=responder, advertise=True)
    there = asyncio.Event()

    def listen(name: str, _service: MdnsService | None) -> None:
        if name == board.name:
            there.set()

    async with MdnsBrowser(ON_LOOPBACK, listen, loopback_only=True) as browser, asyncio.timeout(LIMIT):
        await there.wait()
        await board.power(False)
        assert board.state is BoardState.OFF
        with pytest.raises(httpx.ConnectError):
            await client.id(board)
        while await browser.query_again(board.name, seconds=0.6) is not None:
            pass  # an answer to somebody else may still have been on its way
        assert board.name in browser.services
        await board.power(True)
        again = await browser.query_again(board.name)
        assert again is not None
        assert again.port == board.port
    assert (await client.id(board))["fw"] == "factory"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8")
async def test_a_board_that_returns_elsewhere_is_heard_there(
    responder: LoopbackMdns, boards: Boards, client: Client
) -> None:
    board = await boards(mdns=responder, advertise=True)
    board.break_with("returns-elsewhere")
    await client.update(board, IMAGE)
    await board.wait_for(lambda board: board.boots == 2, LIMIT)
    service = (await heard(board))[board.name]
    assert (service.addresses[0], service.port) == (board.address, board.port)


async def test_a_power_cut_in_the_middle_keeps_the_old_firmware(boards: Boards, client: Client) -> None:
    board = await boards(flash_speed=200_000)
    update = asyncio.create_task(client.update(board, IMAGE))
    await board.wait_for(lambda board: board.upload_size > 10_000, LIMIT)
    await board.power(False)
    with pytest.raises(httpx.TransportError):
        await update
    assert board.uploads[-1].outcome is Outcome.ABORTED
    await board.power(True)
    assert (await client.id(board))["fw"] == "factory"


async def test_a_board_keeps_its_port_over_every_restart(boards: Boards, client: Client) -> None:
    board = await boards()
    port = board.port
    for boots in range(2, 7):
        await client.ask(board, "POST", "/restart")
        await board.wait_for(lambda board, boots=boots: board.boots == boots, LIMIT)  # type: ignore[misc] # a default
        await client.id(board)
    assert (board.port, board.restarts) == (port, 5)


async def test_a_restarting_board_refuses_connections_for_its_reboot_time(boards: Boards, client: Client) -> None:
    board = await boards(reboot_time=0.4)
    await client.ask(board, "POST", "/restart")
    await board.wait_for(lambda board: board.state is BoardState.STARTING, LIMIT)
    began = asyncio.get_running_loop().time()
    with pytest.raises(httpx.ConnectError):
        await client.id(board)
    await board.wait_for(lambda board: board.state is BoardState.RUNNING, LIMIT)
    assert asyncio.get_running_loop().time() - began > 0.3
    assert (await client.id(board))["uptime"] == 0


async def test_the_id_says_what_the_board_is(boards: Boards, client: Client) -> None:
    board = await boards(free_space=500_000, flash_size=1 << 20)
    assert await client.id(board) == {
        "contract": 1,
        "type": "ESP8266",
        "app": board.application_id,
        "id": board.local_id,
        "fw": "factory",
        "uptime": 0,
        "free": 500_000,
        "flash": 1 << 20,
    }


async def test_identify_is_counted_and_the_board_goes_on(board: SimulatedEsp8266, client: Client) -> None:
    for _ in range(2):
        assert (await client.ask(board, "POST", "/identify")).status_code == 200
    assert (board.identified, board.boots) == (2, 1)


async def test_environment_and_config_outlive_restart_and_update(board: SimulatedEsp8266, client: Client) -> None:
    assert (await client.ask(board, "POST", "/env", json={"LOG": "debug"})).status_code == 200
    assert (await client.ask(board, "POST", "/config", json={"A": "1", "B": "2"})).status_code == 200
    assert (await client.ask(board, "POST", "/config", json={"A": "\N{SNOWMAN}"})).status_code == 200
    await client.ask(board, "POST", "/restart")
    await board.wait_for(lambda board: board.boots == 2, LIMIT)
    await client.update(board, IMAGE)
    await board.wait_for(lambda board: board.boots == 3, LIMIT)
    assert (board.environment, board.config) == ({"LOG": "debug"}, {"A": "\N{SNOWMAN}"})


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b"{", 400),
        (b'{"A": 1}', 400),
        (b'{"A": {"B": "c"}}', 400),
        (b"\xff", 400),
        (b"[" * 4000, 400),
        (b"{}", 200),
        (json.dumps({"A": "x" * 4087}).encode(), 200),
        (json.dumps({"A": "x" * 4088}).encode(), 413),
    ],
)
async def test_what_is_no_flat_object_of_text_is_not_stored(
    board: SimulatedEsp8266, client: Client, body: bytes, status: int
) -> None:
    board.config = {"old": "1"}
    headers = {"Content-Type": "application/json"}
    assert (await client.ask(board, "POST", "/config", content=body, headers=headers)).status_code == status
    assert board.config == ({"old": "1"} if status != 200 else json.loads(body))


@pytest.mark.parametrize("path", ["/restart", "/identify", "/env", "/config"])
async def test_the_pages_that_change_something_ask_for_the_same_credentials(
    boards: Boards, client: Client, path: str
) -> None:
    board = await boards(auth=("enm", "secret"))
    assert (await client.id(board))["id"] == board.local_id
    assert (await client.ask(board, "POST", path, json={})).status_code == 401
    assert (await client.ask(board, "POST", path, json={}, auth=("enm", "secret"))).status_code == 200


async def test_waiting_in_vain_tells_how_the_board_is(board: SimulatedEsp8266) -> None:
    with pytest.raises(TimeoutError, match=rf"{board.name}.*'state': 'running'"):
        await board.wait_for(lambda board: board.boots == 9, 0.05)


async def test_a_description_is_json(board: SimulatedEsp8266, client: Client) -> None:
    await client.update(board, IMAGE)
    described = json.loads(json.dumps(board.describe()))
    assert (described["name"], described["state"]) == (board.name, "running")
    assert described["uploads"][0]["outcome"] == "accepted"


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir())) if sys.platform == "linux" else 0


async def test_nothing_is_left_behind() -> None:
    tasks, files = asyncio.all_tasks(), open_files()
    for _ in range(3):
        async with SimulatedEsp8266(10**8 + secrets.randbelow(9 * 10**8), reboot_time=0.01) as board:
            await board.power(False)
            await board.power(True)
            _, writer = await asyncio.open_connection(board.address, board.port)
            await board.wait_for(lambda board: board.most_connections > 0, LIMIT)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
    assert asyncio.all_tasks() == tasks
    assert open_files() <= files


async def test_a_board_that_is_stopped_at_any_moment_leaves_nothing_behind() -> None:
    tasks, files = asyncio.all_tasks(), open_files()
    for turns in range(25):
        board = SimulatedEsp8266(10**8 + secrets.randbelow(9 * 10**8), advertise=False, reboot_time=0.0)
        await board.start()
        board._restart(Reset())
        for _ in range(turns):
            await asyncio.sleep(0)
        await board.stop()
        assert open_files() <= files
    assert asyncio.all_tasks() == tasks
