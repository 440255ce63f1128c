from __future__ import annotations

import asyncio
import contextlib
import sys

import httpx
import pytest

from enmctl.errors import UsageError
from enmctl.simulator.esp8266 import BoardState, SimulatedEsp8266
from enmctl.simulator.esp8266_update import REFUSALS, Fault, Outcome
from enmctl.simulator.images import esp8266_image
from tests.real.simulator.esp8266.conftest import LIMIT, Boards, Client

IMAGE = esp8266_image(fw="new", size=65_536)


async def runs(board: SimulatedEsp8266, client: Client, fw: str, *, boots: int) -> None:
    await board.wait_for(lambda board: board.state is BoardState.RUNNING and board.boots == boots, LIMIT)
    assert (await client.id(board))["fw"] == fw


@pytest.mark.parametrize("fault", list(REFUSALS))
async def test_a_refusal_comes_once_and_the_next_upload_is_taken(
    board: SimulatedEsp8266, client: Client, fault: Fault
) -> None:
    board.break_with(fault)
    answer = await client.update(board, IMAGE)
    assert answer.status_code == 200
    assert answer.text == f"Update error: {REFUSALS[fault]}"
    assert (board.uploads[-1].outcome, board.uploads[-1].error) == (Outcome.REFUSED, REFUSALS[fault].number)
    await runs(board, client, "factory", boots=1)
    assert "Update Success" in (await client.update(board, IMAGE)).text


async def test_a_fault_comes_as_often_as_asked_and_in_order(board: SimulatedEsp8266, client: Client) -> None:
    board.break_with("magic", times=2)
    board.break_with("boot-mode")
    assert board.faults == ("magic", "magic", "boot-mode")
    answers = [(await client.update(board, IMAGE)).text for _ in range(4)]
    assert [answer[14:23] for answer in answers[:3]] == ["ERROR[10]", "ERROR[10]", "ERROR[11]"]
    assert "Update Success" in answers[3]


async def test_a_board_can_be_mended(board: SimulatedEsp8266, client: Client) -> None:
    board.break_with("magic", times=100)
    board.mend()
    assert "Update Success" in (await client.update(board, IMAGE)).text


async def test_an_unknown_fault_names_those_there_are(board: SimulatedEsp8266) -> None:
    with pytest.raises(UsageError, match="no fault is called 'explode'") as caught:
        board.break_with("explode")
    assert all(fault in caught.value.remedy for fault in Fault)


async def test_silent_mid_upload_hangs_until_the_power_is_switched(board: SimulatedEsp8266, client: Client) -> None:
    board.break_with("silent-mid-upload")
    with pytest.raises(httpx.TimeoutException):
        await client.update(board, IMAGE, timeout=0.3)
    assert board.uploading
    assert len(IMAGE) // 2 <= board.upload_size < len(IMAGE)
    with pytest.raises(httpx.TimeoutException):
        await client.ask(board, "GET", "/id", timeout=0.3)
    await board.power(False)
    assert board.uploads[-1].outcome is Outcome.ABORTED
    await board.power(True)
    await runs(board, client, "factory", boots=2)


async def test_a_watchdog_ends_the_hanging(boards: Boards, client: Client) -> None:
    board = await boards(watchdog=0.2)
    board.break_with("silent-mid-upload")
    with pytest.raises(httpx.TransportError):
        await client.update(board, IMAGE)
    await runs(board, client, "factory", boots=2)


async def test_reset_mid_upload_breaks_the_connection_and_the_board_runs_on(
    board: SimulatedEsp8266, client: Client
) -> None:
    board.break_with("reset-mid-upload")
    with pytest.raises(httpx.NetworkError):
        await client.update(board, IMAGE)
    assert board.uploads[-1].outcome is Outcome.ABORTED
    assert len(IMAGE) // 2 <= board.upload_size < len(IMAGE)
    await runs(board, client, "factory", boots=1)


async def test_silent_after_upload_restarts_into_the_new_without_a_word(
    board: SimulatedEsp8266, client: Client
) -> None:
    board.break_with("silent-after-upload")
    with pytest.raises(httpx.ReadTimeout):
        await client.update(board, IMAGE, timeout=0.6)
    await runs(board, client, "new", boots=2)


async def test_no_answer_no_reboot_leaves_all_as_it_was(board: SimulatedEsp8266, client: Client) -> None:
    board.break_with("no-answer-no-reboot")
    with pytest.raises(httpx.ReadTimeout):
        await client.update(board, IMAGE, timeout=0.6)
    await runs(board, client, "factory", boots=1)


async def test_a_lost_answer_is_a_closed_connection_and_a_new_firmware(board: SimulatedEsp8266, client: Client) -> None:
    board.break_with("answer-lost")
    with pytest.raises(httpx.RemoteProtocolError):
        await client.update(board, IMAGE)
    await runs(board, client, "new", boots=2)


async def test_comes_back_old_says_success_and_is_not(board: SimulatedEsp8266, client: Client) -> None:
    board.break_with("comes-back-old")
    assert "Update Success" in (await client.update(board, IMAGE)).text
    await runs(board, client, "factory", boots=2)


async def test_never_returns_stays_away_until_the_power_is_switched(board: SimulatedEsp8266, client: Client) -> None:
    board.break_with("never-returns")
    assert "Update Success" in (await client.update(board, IMAGE)).text
    await board.wait_for(lambda board: board.state is BoardState.DOWN, LIMIT)
    with pytest.raises(httpx.ConnectError):
        await client.id(board)
    await board.power(False)
    await board.power(True)
    await runs(board, client, "new", boots=2)


async def test_returns_elsewhere_is_no_longer_where_it_was(board: SimulatedEsp8266, client: Client) -> None:
    before = (board.address, board.port)
    board.break_with("returns-elsewhere")
    assert "Update Success" in (await client.update(board, IMAGE)).text
    await runs(board, client, "new", boots=2)
    assert (board.address, board.port) != before
    if sys.platform == "linux":
        assert board.address not in {"127.0.0.1", before[0]}


async def test_slow_takes_ten_times_as_long(boards: Boards, client: Client) -> None:
    board = await boards(flash_speed=1e6)
    board.break_with("slow")
    began = asyncio.get_running_loop().time()
    assert "Update Success" in (await client.update(board, IMAGE)).text
    assert asyncio.get_running_loop().time() - began > 0.6
    await runs(board, client, "new", boots=2)


@pytest.mark.parametrize("fault", list(Fault))
async def test_every_fault_leaves_a_board_that_can_be_stopped_and_described(
    boards: Boards, client: Client, fault: Fault
) -> None:
    board = await boards()
    board.break_with(fault)
    with contextlib.suppress(httpx.TransportError):
        await client.update(board, IMAGE, timeout=0.3)
    assert board.describe()["uploads"][-1]["fault"] == fault
    await board.stop()
    assert board.state is BoardState.OFF
