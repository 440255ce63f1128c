"""Bringing a device to its firmware, from the asset to the report, and back to work when it fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

from enmctl.boards.contract import BoardDriver, Firmware
from enmctl.errors import (
    BoardError,
    BusyError,
    EnmError,
    SourceGoneError,
)
from enmctl.gateway.attempts import attempt
from enmctl.gateway.configuring import configure
from enmctl.gateway.crew import Crew
from enmctl.gateway.half_way import not_done
from enmctl.gateway.rollout import closed
from enmctl.gateway.showing import Showing, nobody
from enmctl.gateway.standing import board_of, device_of, set_back, settle
from enmctl.models import (
    AttemptKind,
    BoardKey,
    Device,
    DiscoveredBoard,
    Proof,
    Stage,
    Step,
    short,
)

LOG = logging.getLogger(__name__)


class SupersededError(BusyError):
    """A newer target came before the first byte."""

    default_reason = "superseded"


async def update(crew: Crew, uuid: str, key: BoardKey, commit: str) -> None:
    """Bring a device to a commit: so many attempts in a row as ENM_UPDATE_RETRIES says, then the device waits.

    Never raises but on cancellation: one device's fault stays that device's.
    """
    try:
        for left in reversed(range(crew.settings.update_retries)):
            try:
                await _attempt_update(crew, uuid, key, commit)
            except BusyError as error:
                LOG.info("update of %s put off: %s", uuid[:8], error.message)
                return
            except EnmError as error:
                crew.watcher.failed(key, error)
                crew.device_log.write(uuid, f"Update to {short(commit)} failed: {error}", level="error")
                if error.permanent or not left or isinstance(error, SourceGoneError):
                    await set_back(crew, uuid, commit, error)
                    return
            else:
                return
    finally:
        crew.live.pop(key, None)


async def _attempt_update(crew: Crew, uuid: str, key: BoardKey, commit: str) -> None:
    async with attempt(crew, AttemptKind.UPDATE, key, uuid, commit) as journal:
        device = await device_of(crew, uuid)
        showing = Showing(crew, uuid, key, journal, nobody)
        crew.device_log.write(uuid, f"Update to {short(commit)} begins")
        LOG.info("%s (%s) is to run %s", device.name or device.local_id, uuid[:8], short(commit))
        board = board_of(crew, key)
        config = crew.config_of(device)
        answer = await crew.drivers[board.board_type].ask(board, config)
        proof: Proof
        version: str | None
        if answer.version == commit:
            proof, version = Proof.VERSION_READ_BACK, answer.version
        else:
            firmware = await fetch_firmware(crew, device, commit, showing)
            proof, version = await transfer(crew, board, firmware, config, showing, wanted=(uuid, commit))
        await journal.succeed(uuid, proof=proof, commit=commit, held_target=None)
        crew.discovery.confirm(key, version)
        crew.watcher.step(key, Step(Stage.DONE, proof=proof, version=version))
        crew.device_log.write(uuid, f"Update to {short(commit)} done ({proof})")
        LOG.info("%s (%s) runs %s now (%s)", device.name or device.local_id, uuid[:8], short(commit), proof)
    await configure(crew, uuid, key)
    await settle(crew, uuid)


async def fetch_firmware(crew: Crew, device: Device, commit: str, showing: Showing) -> Firmware:
    """The checked firmware of a commit, from the cache or through it from the source."""
    application = crew.application_of(device)
    driver = crew.drivers[device.board_type]
    config = crew.config_of(device)
    await showing.show(Step(Stage.DOWNLOADING))
    loop = asyncio.get_running_loop()

    async def fetch(folder: Path) -> None:
        async with crew.downloads:
            await crew.source.fetch_asset(application, commit, folder, lambda _done, _total: None)

    def verify(folder: Path) -> None:
        driver.read_firmware(folder, config)

    wanted = (device.board_type, dict(config))
    folder = await crew.cache.ensure(application.id, commit, fetch, verify, wanted=wanted)
    await showing.show(Step(Stage.CHECKING))
    firmware = await loop.run_in_executor(None, driver.read_firmware, folder, config)
    return replace(firmware, commit=commit)


async def transfer(
    crew: Crew,
    board: DiscoveredBoard,
    firmware: Firmware,
    config: Mapping[str, str],
    showing: Showing,
    *,
    wanted: tuple[str, str] | None = None,
) -> tuple[Proof, str | None]:
    """Put firmware on a board when its radio has a place, and wait until it is back.

    ``wanted`` is the device with the target that this serves: a newer target before the first byte calls it off.
    Returns how it is known that the board runs it, and the version that the board tells.
    """
    driver = crew.drivers[board.board_type]
    try:
        return await _transfer(crew, driver, board, firmware, config, showing, wanted)
    except (EnmError, asyncio.CancelledError) as error:
        await showing.broken_off(driver, board, error)
        raise


async def _transfer(  # noqa: PLR0917 - what transfer takes, and the driver
    crew: Crew,
    driver: BoardDriver,
    board: DiscoveredBoard,
    firmware: Firmware,
    config: Mapping[str, str],
    showing: Showing,
    wanted: tuple[str, str] | None,
) -> tuple[Proof, str | None]:
    await showing.show(Step(Stage.QUEUED))
    async with crew.workers.place(driver.radio) as place:
        if wanted is not None:
            _check_still_wanted(crew, await device_of(crew, wanted[0]), wanted[1])
        limit = crew.settings.update_timeout
        try:
            async with asyncio.timeout(limit), aclosing(driver.update(board, firmware, config)) as steps:
                async for step in steps:
                    if step.stage in (Stage.CHECKING, Stage.TRANSFERRING):
                        await place.take()
                    else:
                        await place.give_back()
                    if step.proof is not None:
                        return step.proof, step.version
                    await showing.show(step)
        except TimeoutError:
            raise not_done(board, limit, showing.last) from None
    raise BoardError(f"the driver of {board.board_type} ended without a result", reason="bug")


def _check_still_wanted(crew: Crew, device: Device, commit: str) -> None:
    """Call an update off, before its first byte, that is not what would be decided now.

    A device without a target is brought out of its bootloader by what it ran: no target called that off.
    """
    if device.wanted_commit not in (None, commit):
        raise SupersededError(f"{short(commit)} is not the target any more")
    if problem := closed(crew.desired, device, crew.now()):
        raise SupersededError(problem, reason="window-closed")
