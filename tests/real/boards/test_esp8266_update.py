from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from dataclasses import replace

import pytest

from enmctl.boards.contract import Firmware
from enmctl.boards.esp8266 import Esp8266
from enmctl.errors import BusyError, EnmError, FirmwareError, OfflineError, RefusedError, TransferError, UnsettledError
from enmctl.models import DiscoveredBoard, Proof, Stage, Step
from enmctl.settings import Settings
from enmctl.simulator.esp8266 import BoardState
from enmctl.simulator.esp8266_update import Fault, Outcome
from tests.real.boards.rig import SIZE, Make, board_of, firmware

COMMIT = "16b5cd4df8085d2872a6f6fc0c378629a185d78b"
OTHER_COMMIT = "c0ffee" * 6 + "0000"


async def update(
    driver: Esp8266, board: DiscoveredBoard, image: Firmware | None = None, **config: str
) -> tuple[list[Step], Step]:
    """All steps of an update, and the last."""
    async with aclosing(driver.update(board, image or firmware(), config)) as steps:
        told = [step async for step in steps]
    return told, told[-1]


async def failure(driver: Esp8266, board: DiscoveredBoard, image: Firmware | None = None, **config: str) -> EnmError:
    with pytest.raises(EnmError) as caught:
        await update(driver, board, image, **config)
    assert caught.value.remedy
    return caught.value


async def test_an_update_goes_through_its_stages_and_reads_the_version_back(driver: Esp8266, make: Make) -> None:
    simulated, board = await make()
    image = firmware("new")
    steps, last = await update(driver, board, image)
    stages = [step.stage for step in steps]
    assert list(dict.fromkeys(stages)) == [Stage.TRANSFERRING, Stage.ACTIVATING, Stage.RETURNING, Stage.DONE]
    assert last == Step(Stage.DONE, proof=Proof.VERSION_READ_BACK, version="new")
    transferring = [step for step in steps if step.stage is Stage.TRANSFERRING]
    assert (transferring[0].percent, transferring[-1].percent) == (0, 100)
    assert simulated.fw == "new"
    assert simulated.firmware == image.data
    assert simulated.uploads[-1].outcome is Outcome.ACCEPTED
    assert (simulated.uploads[-1].field, simulated.uploads[-1].file_name) == ("image", "firmware.bin")
    assert simulated.most_connections == 1


async def test_progress_grows_from_nothing_with_the_bytes_on_the_wire(driver: Esp8266, make: Make) -> None:
    simulated, board = await make(flash_speed=200_000.0)
    ahead = []
    async with aclosing(driver.update(board, firmware(size=160_000), {})) as steps:
        async for step in steps:
            if step.stage is Stage.TRANSFERRING and 0 < step.done < step.total:
                ahead.append(step.done - simulated.upload_size if simulated.uploading else 0)
                assert step.total == 160_000
    assert len(ahead) >= 4, "too few steps to draw a bar"
    assert max(ahead) < 40_000, "progress runs far ahead of what the board has read"


@pytest.mark.parametrize(
    ("fault", "reason", "permanent"),
    [
        (Fault.FLASH_WRITE, "flash-write", False),
        (Fault.FLASH_ERASE, "flash-erase", False),
        (Fault.FLASH_READ, "flash-read", False),
        (Fault.NO_SPACE, "no-space", False),
        (Fault.BAD_SIZE, "bad-size", True),
        (Fault.MD5, "bad-digest", False),
        (Fault.FLASH_CONFIG, "flash-config", False),
        (Fault.NEW_FLASH_CONFIG, "flash-size", True),
        (Fault.MAGIC, "bad-magic", True),
        (Fault.BOOT_MODE, "never-reset", False),
        (Fault.SIGNATURE, "bad-signature", False),
        (Fault.OUT_OF_MEMORY, "no-memory", False),
        (Fault.ALREADY_RUNNING, "busy", False),
    ],
)
async def test_a_refusal_with_status_200_is_understood(
    fault: Fault, reason: str, permanent: bool, driver: Esp8266, make: Make
) -> None:
    simulated, board = await make()
    simulated.break_with(fault)
    error = await failure(driver, board)
    assert isinstance(error, RefusedError)
    assert (error.reason, error.permanent) == (reason, permanent)
    assert simulated.fw == "old"
    assert simulated.state is BoardState.RUNNING


async def test_after_a_refusal_the_next_attempt_goes_through(driver: Esp8266, make: Make) -> None:
    simulated, board = await make()
    simulated.break_with(Fault.FLASH_WRITE)
    await failure(driver, board)
    _, last = await update(driver, board)
    assert last.proof is Proof.VERSION_READ_BACK


async def test_a_board_that_falls_silent_mid_upload_is_given_up_and_its_connection_reset(
    driver: Esp8266, make: Make
) -> None:
    simulated, board = await make(watchdog=0.3)
    simulated.break_with(Fault.SILENT_MID_UPLOAD)
    error = await failure(driver, board, firmware(size=200_000))
    assert isinstance(error, TransferError)
    assert error.reason in {"stalled", "connection-lost"}
    await simulated.wait_for(lambda board: board.state is BoardState.RUNNING and not board.uploading, 5)
    _, last = await update(driver, board)
    assert last.stage is Stage.DONE


async def test_a_transfer_that_moves_no_byte_is_stalled(driver: Esp8266, make: Make) -> None:
    simulated, board = await make()
    simulated.break_with(Fault.SILENT_MID_UPLOAD)
    began = time.monotonic()
    error = await failure(driver, board, firmware(size=200_000))
    assert error.reason == "stalled"
    assert not error.permanent
    assert 0.5 <= time.monotonic() - began < 3


async def test_a_connection_reset_mid_upload_is_a_broken_transfer(driver: Esp8266, make: Make) -> None:
    simulated, board = await make()
    simulated.break_with(Fault.RESET_MID_UPLOAD)
    error = await failure(driver, board)
    assert isinstance(error, TransferError)
    assert error.reason == "connection-lost"
    _, last = await update(driver, board)
    assert last.proof is Proof.VERSION_READ_BACK


@pytest.mark.parametrize("fault", [Fault.SILENT_AFTER_UPLOAD, Fault.ANSWER_LOST])
async def test_all_sent_and_no_answer_is_settled_by_the_version(fault: Fault, driver: Esp8266, make: Make) -> None:
    simulated, board = await make()
    simulated.break_with(fault)
    steps, last = await update(driver, board)
    assert last == Step(Stage.DONE, proof=Proof.VERSION_READ_BACK, version="new")
    assert next(step for step in steps if step.stage is Stage.ACTIVATING).note


async def test_a_lost_answer_of_a_board_without_a_version_is_settled_by_its_return_alone(
    driver: Esp8266, make: Make
) -> None:
    simulated, board = await make(contract=False)
    simulated.break_with(Fault.ANSWER_LOST)
    _, last = await update(driver, board)
    assert last.proof is Proof.RETURN_ALONE
    assert last.version is None


@pytest.mark.parametrize(("contract", "kind"), [(True, TransferError), (False, UnsettledError)])
async def test_no_answer_and_no_restart_is_never_done(
    contract: bool, kind: type[EnmError], driver: Esp8266, make: Make
) -> None:
    simulated, board = await make(contract=contract)
    simulated.break_with(Fault.NO_ANSWER_NO_REBOOT)
    error = await failure(driver, board)
    assert isinstance(error, kind)
    assert error.reason == ("old-version" if contract else "no-restart")
    assert not error.permanent


async def test_a_board_whose_uptime_goes_on_is_not_done(make: Make, settings: Settings) -> None:
    driver = Esp8266(replace(settings, return_timeout=0.8))
    simulated, board = await make()
    simulated._started_at -= 100
    simulated.break_with(Fault.NO_ANSWER_NO_REBOOT)
    error = await failure(driver, board)
    assert isinstance(error, UnsettledError)
    assert error.reason == "no-restart"


async def test_a_board_that_comes_back_with_the_old_version_is_not_done(driver: Esp8266, make: Make) -> None:
    simulated, board = await make()
    simulated.break_with(Fault.COMES_BACK_OLD)
    error = await failure(driver, board)
    assert isinstance(error, TransferError)
    assert error.reason == "old-version"


async def test_a_board_that_never_returns_is_unsettled(make: Make, settings: Settings) -> None:
    driver = Esp8266(replace(settings, return_timeout=0.8))
    simulated, board = await make()
    simulated.break_with(Fault.NEVER_RETURNS)
    error = await failure(driver, board)
    assert isinstance(error, UnsettledError)
    assert error.reason == "no-return"


async def test_a_board_that_returns_elsewhere_is_found_where_it_is_heard(driver: Esp8266, make: Make) -> None:
    simulated, board = await make()
    simulated.break_with(Fault.RETURNS_ELSEWHERE)
    driver.surroundings.locate = lambda key: board_of(simulated) if key == board.key else None
    _, last = await update(driver, board)
    assert last.proof is Proof.VERSION_READ_BACK
    assert board_of(simulated).port != board.port


async def test_a_slow_board_is_waited_for(driver: Esp8266, make: Make) -> None:
    simulated, board = await make(flash_speed=400_000.0)
    simulated.break_with(Fault.SLOW)
    _, last = await update(driver, board)
    assert last.stage is Stage.DONE


async def test_a_board_without_a_contract_is_done_when_it_took_all_and_returned(driver: Esp8266, make: Make) -> None:
    simulated, board = await make(contract=False)
    _, last = await update(driver, board, firmware("new", commit=COMMIT))
    assert (last.proof, last.version) == (Proof.CHECK_AND_RETURN, None)
    assert simulated.boots == 2


async def test_a_return_is_not_called_before_the_board_went_down(driver: Esp8266, make: Make) -> None:
    simulated, board = await make(contract=False)
    await update(driver, board)
    assert simulated.boots == 2
    assert simulated.state is BoardState.RUNNING


async def test_the_same_version_once_more_is_no_proof_of_it(driver: Esp8266, make: Make) -> None:
    simulated, board = await make(fw="same")
    _, last = await update(driver, board, firmware("same"))
    assert (last.proof, last.version) == (Proof.CHECK_AND_RETURN, "same")
    assert simulated.boots == 2


async def test_firmware_that_tells_the_commit_is_read_back_by_it(driver: Esp8266, make: Make) -> None:
    _, board = await make(fw=OTHER_COMMIT)
    _, last = await update(driver, board, firmware(COMMIT, commit=COMMIT))
    assert (last.proof, last.version) == (Proof.VERSION_READ_BACK, COMMIT)


async def test_several_boards_cost_little_and_do_not_wait_for_each_other(driver: Esp8266, make: Make) -> None:
    boards = [(await make(flash_speed=200_000.0))[1] for _ in range(6)]
    began = time.monotonic()
    endings = await asyncio.gather(*(update(driver, board, firmware(size=100_000)) for board in boards))
    assert all(last.stage is Stage.DONE for _, last in endings)
    assert time.monotonic() - began < 3


async def test_basic_credentials_are_shown_at_once(driver: Esp8266, make: Make) -> None:
    simulated, board = await make(auth=("admin", "s3cret!"))
    _, last = await update(driver, board, ENM_OTA_USER="admin", ENM_OTA_PASSWORD="s3cret!")
    assert last.stage is Stage.DONE
    assert len(simulated.uploads) == 1


@pytest.mark.parametrize("contract", [True, False])
async def test_wrong_credentials_are_found_before_an_image_is_sent(contract: bool, driver: Esp8266, make: Make) -> None:
    simulated, board = await make(auth=("admin", "s3cret!"), contract=contract)
    for config in ({}, {"ENM_OTA_USER": "admin", "ENM_OTA_PASSWORD": "other"}):
        error = await failure(driver, board, None, **config)
        assert isinstance(error, RefusedError)
        assert error.reason == "wrong-password"
        assert "ENM_OTA_PASSWORD" in error.remedy
        assert "other" not in str(error)
    assert not simulated.uploads


async def test_the_path_may_come_from_config(driver: Esp8266, make: Make) -> None:
    _, board = await make(path="/secret/ota")
    error = await failure(driver, board)
    assert error.reason == "no-update-page"
    assert "ENM_OTA_PATH" in error.remedy
    _, last = await update(driver, board, ENM_OTA_PATH="/secret/ota")
    assert last.stage is Stage.DONE


async def test_another_board_at_the_address_gets_nothing(driver: Esp8266, make: Make) -> None:
    simulated, board = await make()
    for wrong in (replace(board, local_id="1"), replace(board, application_id=1)):
        error = await failure(driver, wrong)
        assert isinstance(error, RefusedError)
        assert (error.reason, error.permanent) == ("wrong-board", False)
    assert not simulated.uploads


async def test_what_does_not_fit_is_refused_before_it_is_sent(driver: Esp8266, make: Make) -> None:
    simulated, board = await make(free_space=20_000)
    error = await failure(driver, board)
    assert (error.reason, error.permanent) == ("no-space", False)
    error = await failure(driver, board, ENM_OTA_MAX_SIZE="10000")
    assert isinstance(error, FirmwareError)
    assert (error.reason, error.permanent) == ("too-big", False)
    small, small_board = await make(flash_size=1 << 20)
    assert (await failure(driver, small_board)).reason == "flash-size"
    assert not simulated.uploads
    assert not small.uploads


async def test_a_board_that_is_off_is_offline(driver: Esp8266, make: Make) -> None:
    simulated, board = await make()
    await simulated.power(False)
    error = await failure(driver, board)
    assert isinstance(error, OfflineError)
    assert error.reason == "connection-refused"
    assert "known bug of the sample firmware" in error.remedy


async def test_closing_the_generator_ends_the_transfer_and_leaves_the_board_well(driver: Esp8266, make: Make) -> None:
    simulated, board = await make(flash_speed=100_000.0)
    async with aclosing(driver.update(board, firmware(size=200_000), {})) as steps:
        async for step in steps:
            if step.done > 20_000:
                break
    await simulated.wait_for(lambda board: not board.uploading, 2)
    assert simulated.uploads[-1].outcome is Outcome.ABORTED
    assert await driver.alive(board)
    _, last = await update(driver, board, firmware(size=32_000))
    assert last.stage is Stage.DONE


async def test_cancelling_ends_the_transfer_too(driver: Esp8266, make: Make) -> None:
    simulated, board = await make(flash_speed=100_000.0)
    task = asyncio.create_task(update(driver, board, firmware(size=200_000)))
    await simulated.wait_for(lambda board: board.upload_size > 20_000, 5)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    await simulated.wait_for(lambda board: not board.uploading, 2)
    assert simulated.uploads[-1].outcome is Outcome.ABORTED


async def test_a_board_that_is_updated_is_alive_and_asked_nothing(driver: Esp8266, make: Make) -> None:
    simulated, board = await make()
    async with aclosing(driver.update(board, firmware(), {})) as steps:
        async for step in steps:
            if step.stage in {Stage.TRANSFERRING, Stage.RETURNING}:
                assert await driver.alive(board)
                with pytest.raises(BusyError):
                    await driver.ask(board, {})
                with pytest.raises(BusyError):
                    await anext(driver.update(board, firmware(), {}))
    assert simulated.most_connections == 1
    assert await driver.alive(board)


@pytest.mark.parametrize("size", [8192, 8192 + 16, 12_288, SIZE])
async def test_an_image_of_any_size_arrives_to_the_last_byte(size: int, driver: Esp8266, make: Make) -> None:
    simulated, board = await make()
    image = firmware(size=size)
    await update(driver, board, image)
    assert simulated.firmware == image.data


async def test_a_board_named_by_address_is_updated(driver: Esp8266, make: Make) -> None:
    simulated, _ = await make(auth=("admin", "pw"), path="/up")
    board = driver.at_address(f"http://admin@127.0.0.1:{simulated.port}/up")
    assert board is not None
    _, last = await update(driver, board, ENM_OTA_PASSWORD="pw", ENM_OTA_PATH="/elsewhere")
    assert last.proof is Proof.VERSION_READ_BACK


async def test_the_next_address_is_tried_where_one_does_not_answer(make: Make, settings: Settings) -> None:
    driver = Esp8266(replace(settings, probe_timeout=0.8, connect_timeout=0.8))
    simulated, board = await make()
    _, last = await update(driver, replace(board, addresses=("192.0.2.1", *board.addresses)))
    assert last.stage is Stage.DONE
    assert len(simulated.uploads) == 1
