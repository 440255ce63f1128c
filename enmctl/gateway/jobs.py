"""What people have the gateway do to one board, through the same places, locks and journal as everything else."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from enmctl.boards.contract import BoardDriver, Firmware
from enmctl.errors import BusyError, FirmwareError, RadioError, UnknownError, UsageError
from enmctl.gateway.attempts import attempt
from enmctl.gateway.configuring import restart_board
from enmctl.gateway.control import Job, JobKind
from enmctl.gateway.crew import Crew
from enmctl.gateway.decide import Seen, commit_of
from enmctl.gateway.handed_over import on_disk
from enmctl.gateway.memories import names_of_begun
from enmctl.gateway.naming import find_device, is_called
from enmctl.gateway.provisioning import Provisioning
from enmctl.gateway.showing import Listener, Showing
from enmctl.gateway.standing import settle
from enmctl.gateway.updating import transfer
from enmctl.models import AttemptKind, BoardKey, BoardMode, Device, DiscoveredBoard, Outcome, Radio, Stage, Step, short
from enmctl.store import Store


@dataclass(frozen=True, slots=True)
class Target:
    """The board that a job is for; ``device`` is None for one that is no device."""

    board: DiscoveredBoard
    driver: BoardDriver
    device: Device | None
    config: Mapping[str, str] = field(repr=False)

    @property
    def key(self) -> BoardKey:
        """The board's key, under which a worker has it in hand."""
        return self.board.key

    @property
    def uuid(self) -> str | None:
        """The device's uuid."""
        return None if self.device is None else self.device.uuid


async def find_target(crew: Crew, job: Job) -> Target:
    """The board that a job names: a device by any of its names, a board by its id or instance name, or an address.

    Raises:
        UnknownError: nothing is called so.
        UsageError: several boards are.
        BusyError: more than one board answers to the id of the one that is meant.
    """
    target = await _find_target(crew, job)
    return replace(target, config={**target.config, **job.manner})


async def _find_target(crew: Crew, job: Job) -> Target:
    devices = await crew.store.call(Store.devices, deleted=None if job.kind is JobKind.PROVISION else False)
    try:
        device = find_device(devices, job.board)
    except UnknownError:
        board = _heard_as(crew, job.board) or _at_address(crew, job.board) or await _over_bluetooth(crew, job)
        if board is None:
            raise UnknownError(
                f"no device is called {job.board!r}, and no such board is heard",
                remedy="enmctl scan shows which are there",
            ) from None
        return _target_at(crew, board, devices)
    if device.key is None:
        raise UnknownError(
            f"no board is known to be device {device.uuid[:8]}", remedy="power its board and wait until it is found"
        )
    here = crew.discovery.boards.get(device.key)
    if here is None and await _over_bluetooth(crew, job, device):
        here = crew.discovery.boards.get(device.key)
    if here is None:
        raise UnknownError(
            f"the board of {device.name or device.local_id} is not heard", remedy="power it and bring it into range"
        )
    located = _alone(here)
    return Target(located, crew.drivers[located.board_type], device, crew.config_of(device))


def _target_at(crew: Crew, board: DiscoveredBoard, devices: Sequence[Device]) -> Target:
    """A board that was named otherwise than its device is."""
    device = next((device for device in devices if device.key == board.key), None)
    config = _config_for(crew, board) if device is None else crew.config_of(device)
    return Target(board, crew.drivers[board.board_type], device, config)


def _heard_as(crew: Crew, word: str) -> DiscoveredBoard | None:
    here = [seen for seen in crew.discovery.boards.values() if is_called(seen.board, word)]
    if len(here) > 1:
        raise UsageError(
            f"{len(here)} boards are called {word!r}", remedy="name one: " + ", ".join(seen.board.name for seen in here)
        )
    return _alone(here[0]) if here else None


def _alone(here: Seen) -> DiscoveredBoard:
    """The board, if it is the only one that answers to its id: nobody can tell which of two was meant."""
    if here.rivals:
        raise BusyError(
            f"more than one board answers to the id {here.board.local_id} (also at {', '.join(here.rivals)})",
            remedy="switch off all but one, or name the one that is meant by its address",
            reason="rivals",
        )
    return here.board


def _at_address(crew: Crew, word: str) -> DiscoveredBoard | None:
    """The board at an address on the network; one on the air must be heard, for its address tells no type."""
    drivers = [driver for driver in crew.drivers.values() if driver.radio is Radio.WIFI]
    board = next((board for driver in drivers if (board := driver.at_address(word))), None)
    if board is not None and crew.reach.loopback_only:
        refuse_unless_simulated(board, word)
    return board


async def _over_bluetooth(crew: Crew, job: Job, device: Device | None = None) -> DiscoveredBoard | None:
    """The board that is heard so over Bluetooth, which is opened for it where no application has wanted it yet.

    Raises:
        RadioError: Bluetooth cannot be used, and the board is reached by nothing else.
    """
    drivers = {name: driver for name, driver in crew.drivers.items() if driver.radio is Radio.BLUETOOTH}
    is_listened_for = Radio.BLUETOOTH in crew.discovery.open_radios
    if job.kind is JobKind.PROVISION or (device is not None and (device.board_type not in drivers or is_listened_for)):
        return None
    word = device.local_id or "" if device is not None else job.board
    begun = await names_of_begun(crew.store)

    def is_meant(board: DiscoveredBoard) -> bool:
        name = begun.get(board.local_id) if board.mode is BoardMode.BOOTLOADER else None
        return is_called(board, word) or (name is not None and word.casefold() == name.casefold())

    try:
        await crew.discovery.start({Radio.BLUETOOTH})
        found = await crew.discovery.listen_for(is_meant, crew.settings.bluetooth_long_timeout)
    except RadioError:
        if any(driver.at_address(word) for driver in drivers.values()):
            raise
        return None
    return await _of_one_type(crew, job, found) if found else None


async def _of_one_type(crew: Crew, job: Job, found: Sequence[DiscoveredBoard]) -> DiscoveredBoard:
    """The board as the one type that it can be: a bootloader does not tell, but a file is not for all of them."""
    if job.kind is JobKind.FLASH and len(found) > 1:
        found = [board for board in found if await asyncio.to_thread(_takes, crew, job, board)] or found
    if len(found) > 1:
        types = " or ".join(sorted(board.board_type for board in found))
        raise UsageError(
            f"{found[0].local_id} waits in its bootloader and does not tell what it is",
            remedy=f"say it while the gateway rests: enmctl pause, then --board {types}",
        )
    return found[0]


def _takes(crew: Crew, job: Job, board: DiscoveredBoard) -> bool:
    try:
        config = {**_config_for(crew, board), **job.manner}
        _read_firmware(crew, job, Target(board, crew.drivers[board.board_type], None, config))
    except FirmwareError:
        return False
    return True


def refuse_unless_simulated(board: DiscoveredBoard, word: str) -> None:
    """Refuse a board at an address beyond this machine, for a world in which nothing real is touched.

    Raises:
        UsageError: it is beyond.
    """
    if board.radio is Radio.WIFI and not all(map(_is_loopback, board.addresses)):
        raise UsageError(f"{word} is a real address", remedy="a simulated world has only this machine's own")


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _config_for(crew: Crew, board: DiscoveredBoard) -> Mapping[str, str]:
    application = crew.desired.applications.get(board.application_id or 0)
    return {} if application is None else application.config


Work = Callable[[], Coroutine[Any, Any, None]]


def work_of(crew: Crew, provisioning: Provisioning, job: Job, target: Target, listener: Listener) -> Work:
    """What a worker is to do for a job: it tells each step, the last with ``Stage.DONE``, or raises what went wrong."""
    match job.kind:
        case JobKind.FLASH:
            return lambda: _flash(crew, job, target, listener)
        case JobKind.RESTART:
            return lambda: _restart(crew, target, listener)
        case JobKind.IDENTIFY:
            return lambda: _identify(target, listener)
        case JobKind.PROVISION:
            return lambda: _provision(crew, provisioning, target, listener)


async def _flash(crew: Crew, job: Job, target: Target, listener: Listener) -> None:
    firmware = await asyncio.to_thread(_read_firmware, crew, job, target)
    try:
        async with attempt(crew, AttemptKind.FLASH, target.key, target.uuid, None) as journal:
            showing = Showing(crew, target.uuid, target.key, journal, listener)
            proof, version = await transfer(crew, target.board, firmware, target.config, showing)
            if target.device is None:
                await journal.end(Outcome.SUCCEEDED, proof=proof)
            else:
                held = target.device.target_commit if job.hold else None
                await journal.succeed(target.device.uuid, proof=proof, commit=commit_of(version), held_target=held)
                crew.device_log.write(target.device.uuid, f"Flashed by hand with {job.file_name or 'a file'} ({proof})")
    finally:
        crew.live.pop(target.key, None)
    crew.discovery.confirm(target.key, version)
    if target.uuid is not None:
        await settle(crew, target.uuid)
    listener(Step(Stage.DONE, proof=proof, version=version, note=_what_follows(target, hold=job.hold)))


def _what_follows(target: Target, *, hold: bool) -> str:
    if target.device is None or target.device.wanted_commit is None:
        return ""
    if hold:
        return "it is left alone until its target changes"
    return f"the gateway will put {short(target.device.wanted_commit)} back; --hold keeps it from that"


def _read_firmware(crew: Crew, job: Job, target: Target) -> Firmware:
    name = Path(job.file_name).name or "firmware.bin"
    with on_disk(crew.settings.assets_directory, name, job.firmware) as path:
        return target.driver.read_firmware(path, target.config)


async def _restart(crew: Crew, target: Target, listener: Listener) -> None:
    note = await restart_board(crew, target.uuid, target.key, target.config, listener, found=target.board)
    if target.uuid is not None:
        await settle(crew, target.uuid)
    listener(Step(Stage.DONE, note=note))


async def _identify(target: Target, listener: Listener) -> None:
    await target.driver.identify(target.board, target.config)
    listener(Step(Stage.DONE))


async def _provision(crew: Crew, provisioning: Provisioning, target: Target, listener: Listener) -> None:
    device = target.device
    if device is not None and not device.deleted:
        listener(Step(Stage.DONE, note=f"it is device {device.uuid[:8]} already"))
        return
    application = crew.desired.applications.get(target.board.application_id or 0)
    if application is None or application.board_type != target.board.board_type:
        raise UnknownError(
            f"no application of the source is for {target.board.name}",
            remedy="its firmware names the application that it belongs to; check that the source lists that one",
        )
    if device is not None and await crew.source.listed(device.uuid):
        await crew.store.call(Store.change, device.uuid, deleted=False, unlisted=False)
        listener(Step(Stage.DONE, note=f"it is device {device.uuid[:8]} again"))
        return
    if device is not None:
        await crew.store.call(Store.remove_device, device.uuid)
    made = await provisioning.make_device(application, target.board)
    listener(Step(Stage.DONE, note=f"it is now device {made.uuid[:8]} ({made.name})"))
