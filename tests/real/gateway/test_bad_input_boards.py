"""Bad input by the boards' door: no board counts as updated that is not, the others go on, and it is said once a try.

Elsewhere: each fault of a board beside a healthy one
(``test_one_boards_fault_is_that_boards_and_passes``), a board that comes back elsewhere after its update
(``test_a_board_that_comes_back_under_another_address_is_followed``), two boards with one id until one is gone
(``test_two_boards_with_one_id_are_left_alone_until_one_is_gone``), every answer of a board byte by byte
(``tests/real/boards/test_esp8266_odd_servers``, ``test_esp8266_update``), garbage and floods on multicast
(``tests/real/radio/test_mdns_strangers``), foreign addresses (``tests/system/test_network``).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from enmctl.gateway import gateway as gateway_module
from enmctl.gateway.actions import Complain
from enmctl.gateway.saying import SAID_A_ROUND
from enmctl.models import BoardKey, DeviceStatus, Outcome
from enmctl.store import Store
from tests.real.gateway.lines import no_bug_is_told, said
from tests.real.gateway.rig import WITHIN, eventually, rig, until_stored, until_views
from tests.servers import listening


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")


@pytest.mark.parametrize(
    ("fault", "says"), [("flash-write", "error 1,"), ("no-space", "error 4,"), ("magic", "error 10,")]
)
async def test_a_board_that_refuses_with_status_200_is_not_updated_and_the_line_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, fault: str, says: str
) -> None:
    async with rig(tmp_path, boards=2) as world:
        sick, healthy = world.boards
        sick.break_with(fault)
        first = world.push()
        async with world.gateway() as running:
            await until_stored(running, lambda devices: any(device.failures for device in devices))
            await healthy.wait_for(lambda it: it.fw == first, WITHIN)
            [attempt] = [
                attempt
                for attempt in await running.gateway.crew.store.call(Store.attempts)
                if attempt.local_id == sick.local_id and attempt.outcome is Outcome.FAILED
            ]
            assert says in attempt.message
            [line, *_] = said(caplog, f"is not on {first[:8]}", says)
            assert "tried again" in line or "waits for another target" in line
            assert "\n" not in line
            world.push()
            await world.all_on_target()
        assert no_bug_is_told(caplog)


@pytest.mark.parametrize("how", ["a list", "a hook", "its application"])
async def test_a_board_that_has_its_update_page_elsewhere_is_tried_again_once_its_config_says_where(
    tmp_path: Path, how: str
) -> None:
    mended = {"RESIN_HOST_TYPE": "esp8266", "ENM_OTA_PATH": "/ota"}
    async with rig(tmp_path) as world:
        await world.add_board(path="/ota")
        world.push()
        async with world.gateway(retry_delay=600.0, retry_delay_most=600.0) as running:
            await until_stored(running, lambda devices: any(device.failures for device in devices))
            if how == "its application":
                world.supervisor.fail("devices", "503")
                world.supervisor.hook_address = None
                applications = running.gateway.crew.desired.applications
                application = replace(applications[world.app], config=mended)
                running.gateway._heard(replace(running.gateway.crew.desired, applications={world.app: application}))
                await world.wait_for(world.on_target)
                return
            if how == "a hook":
                world.supervisor.fail("devices", "503")
            else:
                world.supervisor.hook_address = None
            world.supervisor.set_config(world.app, mended)
            await world.wait_for(world.on_target)


async def test_a_board_that_loses_its_power_mid_upload_and_returns_at_another_place_ends_on_target(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with rig(tmp_path) as world:
        board = await world.add_board(flash_speed=40_000.0)
        commit = world.push()
        async with world.gateway(stall_timeout=1.0) as running:
            await board.wait_for(lambda it: it.uploading, WITHIN)
            await board.power(on=False)
            await world.wait_for(lambda: world.statuses() == ["Offline"])
            [device] = [view.device for view in await running.steward.devices()]
            assert device.commit is None, "nothing was done"
            again = await world.add_board(board.local_id, name_suffix="-2")
            assert again.port != board.port
            world.boards.remove(board)
            await world.all_on_target()
            assert again.fw == commit
        assert said(caplog, f"is not on {commit[:8]}")
        assert no_bug_is_told(caplog)
        assert world.supervisor.inserted == 1


async def test_two_boards_with_one_id_are_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with rig(tmp_path) as world:
        first = await world.add_board("4711")
        second = await world.add_board("4711", name_suffix="-2")
        world.push()
        async with world.gateway():
            await eventually(lambda: bool(said(caplog, "more than one board answers to this id")))
            asked = len(world.supervisor.requests)
            await world.wait_for(lambda: len(world.supervisor.requests) > asked + 8)
            assert not first.uploads + second.uploads
        assert len(said(caplog, "board 4711", "none is touched until one is left")) == 1
        assert no_bug_is_told(caplog)


async def test_a_record_of_a_board_that_is_not_there_makes_no_device(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.mdns.announce(f"ESP8266_{world.app}_4711", 1)
        world.push()
        async with world.gateway() as running:
            await world.all_on_target()
            gone = BoardKey(world.app, "4711")
            await eventually(lambda: gone in running.gateway.crew.discovery.boards)
            assert not running.gateway.crew.discovery.boards[gone].online
            await until_views(running, lambda views: [view.status for view in views] == [DeviceStatus.IDLE])
        assert world.supervisor.inserted == 1


@asynccontextmanager
async def something_else(answer: bytes) -> AsyncGenerator[int]:
    """A server that is no board, and answers everything with the same bytes; its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(answer)

    async with listening(serve) as port:
        yield port


ANOTHER = b'{"contract": 1, "type": "ESP8266", "app": 1, "id": "4712", "fw": "factory"}'


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(ANOTHER), ANOTHER),
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>a printer</html>",
    ],
    ids=["another-board", "ssh", "nothing", "a-printer"],
)
async def test_something_else_at_a_boards_address_is_sent_no_firmware(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, answer: bytes
) -> None:
    async with rig(tmp_path, boards=1) as world, something_else(answer) as port:
        world.mdns.announce(f"ESP8266_{world.app}_4711", port)
        commit = world.push()
        async with world.gateway() as running:
            await world.boards[0].wait_for(lambda it: it.fw == commit, WITHIN)
            await eventually(lambda: BoardKey(world.app, "4711") in running.gateway.crew.discovery.boards)
            views = {view.device.local_id: view for view in await running.steward.devices()}
            assert views.keys() >= {world.boards[0].local_id}
            assert "4711" not in views or views["4711"].device.commit is None
            assert "4711" not in views or ANOTHER not in answer
        assert no_bug_is_told(caplog)


async def test_more_complaints_than_a_log_can_take_are_counted_and_not_said_in_each_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    complaints = [Complain(f"board {number}", "two of them answer") for number in range(1500)]
    monkeypatch.setattr(gateway_module, "decide", lambda *_: complaints)
    async with rig(tmp_path) as world, world.gateway() as running:
        for _ in range(3):
            await running.gateway.turn()
    said = [line for line in caplog.messages if line.startswith(("board ", "and "))]
    assert len(said) == SAID_A_ROUND + 1
    assert said[-1] == f"and {1500 - SAID_A_ROUND} more are not as they should be"
