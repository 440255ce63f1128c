from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import replace

import pytest

from enmctl.boards.contract import Answer, Applied
from enmctl.boards.esp8266 import Esp8266
from enmctl.errors import OfflineError, RefusedError, UnsettledError
from enmctl.settings import Settings
from tests.real.boards.rig import Make, odd_server

AUTH = {"ENM_OTA_USER": "admin", "ENM_OTA_PASSWORD": "s3cret!"}


async def test_a_board_tells_who_it_is_and_what_it_runs(driver: Esp8266, make: Make) -> None:
    simulated, board = await make()
    assert await driver.ask(board, {}) == Answer("old", simulated.local_id, simulated.application_id)


async def test_a_board_without_a_contract_tells_nothing_and_is_no_error(driver: Esp8266, make: Make) -> None:
    _, board = await make(contract=False)
    assert await driver.ask(board, {}) == Answer()


async def test_asking_at_the_wrong_board_is_refused(driver: Esp8266, make: Make) -> None:
    _, board = await make()
    with pytest.raises(RefusedError) as caught:
        await driver.ask(replace(board, local_id="1"), {})
    assert caught.value.reason == "wrong-board"


async def test_asking_without_the_password_is_refused(driver: Esp8266, make: Make) -> None:
    _, board = await make(contract=False, auth=("admin", "s3cret!"))
    with pytest.raises(RefusedError) as caught:
        await driver.ask(board, {})
    assert caught.value.reason == "wrong-password"
    assert await driver.ask(board, AUTH) == Answer()


async def test_a_board_is_alive_while_it_takes_connections(driver: Esp8266, make: Make) -> None:
    simulated, board = await make()
    assert await driver.alive(board)
    assert await driver.alive(replace(board, addresses=("127.0.0.9", *board.addresses)))
    await simulated.power(False)
    assert not await driver.alive(board)
    assert not await driver.alive(replace(board, addresses=()))


async def test_many_questions_to_one_board_come_one_after_another(driver: Esp8266, make: Make) -> None:
    simulated, board = await make(loop_delay=0.01)
    questions = [driver.ask(board, {}) for _ in range(8)]
    looks = [driver.alive(board) for _ in range(8)]
    await asyncio.gather(*questions, *looks)
    assert simulated.most_connections == 1


async def test_a_board_with_a_sleepy_loop_is_not_offline(make: Make, settings: Settings) -> None:
    driver = Esp8266(replace(settings, probe_timeout=2))
    _, board = await make(loop_delay=0.8)
    assert (await driver.ask(board, {})).version == "old"


async def test_restart_waits_until_the_board_is_back(driver: Esp8266, make: Make) -> None:
    simulated, board = await make(auth=("admin", "s3cret!"))
    await driver.restart(board, AUTH)
    assert simulated.boots == 2
    assert await driver.alive(board)
    with pytest.raises(RefusedError) as caught:
        await driver.restart(board, {})
    assert caught.value.reason == "wrong-password"
    assert simulated.boots == 2


async def test_identify_reaches_the_board(driver: Esp8266, make: Make) -> None:
    simulated, board = await make()
    await driver.identify(board, {})
    assert simulated.identified == 1


async def test_what_firmware_cannot_is_refused_for_good(driver: Esp8266, make: Make) -> None:
    _, board = await make(contract=False)
    for action in (driver.restart(board, {}), driver.identify(board, {})):
        with pytest.raises(RefusedError) as caught:
            await action
        assert caught.value.reason == "unsupported"
        assert caught.value.permanent
        assert "firmware" in caught.value.message


async def test_config_and_environment_reach_the_board_but_never_its_password(driver: Esp8266, make: Make) -> None:
    simulated, board = await make(auth=("admin", "s3cret!"))
    applied = await driver.configure(
        board, AUTH, new_config={"RESIN_HOST_TYPE": "esp8266", **AUTH}, new_environment={"NAME": "Flur", "ä": "ö"}
    )
    assert applied == Applied(config=True, environment=True)
    assert simulated.config == {"RESIN_HOST_TYPE": "esp8266"}
    assert simulated.environment == {"NAME": "Flur", "ä": "ö"}
    applied = await driver.configure(board, AUTH, new_config=None, new_environment={})
    assert applied == Applied(config=False, environment=True)
    assert simulated.environment == {}
    assert simulated.config == {"RESIN_HOST_TYPE": "esp8266"}


async def test_a_board_without_the_pages_takes_neither(driver: Esp8266, make: Make) -> None:
    _, board = await make(contract=False)
    applied = await driver.configure(board, {}, new_config={"A": "1"}, new_environment={"B": "2"})
    assert applied == Applied(config=False, environment=False)


async def test_more_than_a_board_can_take_is_refused_before_it_is_sent(driver: Esp8266, make: Make) -> None:
    simulated, board = await make()
    with pytest.raises(RefusedError) as caught:
        await driver.configure(board, {}, new_config=None, new_environment={"A": "x" * 5000})
    assert caught.value.reason == "no-space"
    assert simulated.environment == {}


async def test_a_board_that_is_off_is_offline_for_every_question(driver: Esp8266, make: Make) -> None:
    simulated, board = await make()
    await simulated.power(False)
    for action in (
        driver.ask(board, {}),
        driver.restart(board, {}),
        driver.identify(board, {}),
        driver.configure(board, {}, new_config={}, new_environment=None),
    ):
        with pytest.raises(OfflineError) as caught:
            await action
        assert caught.value.remedy


async def test_a_restart_that_is_not_answered_and_does_not_happen_is_unsettled(driver: Esp8266) -> None:
    async def drop(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter, _head: bytes) -> None:
        return

    async with odd_server(drop) as odd:
        with pytest.raises(UnsettledError) as caught:
            await driver.restart(odd.board, {})
    assert caught.value.reason == "no-restart"


async def test_no_password_gets_into_a_log(driver: Esp8266, make: Make, caplog: pytest.LogCaptureFixture) -> None:
    _, board = await make(auth=("admin", "other"), contract=False)
    with caplog.at_level(logging.DEBUG), pytest.raises(RefusedError) as caught:
        await driver.ask(board, AUTH)
    assert "s3cret" not in caplog.text + str(caught.value) + repr(caught.value)


async def test_a_message_of_firmware_with_json_is_what_the_contract_says(driver: Esp8266) -> None:
    bodies = []

    async def store(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        bodies.append((head.split(b" ")[1], json.loads(await reader.readexactly(length))))
        assert b"Content-Type: application/json\r\n" in head
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with odd_server(store) as odd:
        await driver.configure(odd.board, {}, new_config={"LOG": "debug"}, new_environment={"NAME": "porch"})
    assert bodies == [(b"/config", {"LOG": "debug"}), (b"/env", {"NAME": "porch"})]
