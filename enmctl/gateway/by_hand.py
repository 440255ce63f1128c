"""Work on boards without a running gateway: found, worked on and journalled by the command that asks for it."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from enmctl.boards.contract import BoardDriver, Firmware
from enmctl.errors import EnmError, FirmwareError, OfflineError, TransferError, UnknownError, UnsettledError, UsageError
from enmctl.gateway.claiming import claimed
from enmctl.gateway.jobs import Target
from enmctl.gateway.naming import find_device
from enmctl.models import AttemptKind, Desired, Device, DiscoveredBoard, Outcome, Proof, Stage, Step, short
from enmctl.radio.mdns import MdnsService, scan
from enmctl.settings import Settings
from enmctl.store import Store, StoreThread

LOG = logging.getLogger(__name__)

Boards = Sequence[DiscoveredBoard]


@dataclass(frozen=True, slots=True)
class Bench:
    """What work by hand needs.

    ``access`` is config that the caller gives (``ENM_OTA_USER`` and its kin); it goes over a device's own. ``store`` is
    None where there is no database: then nothing is known of devices, and nothing is journalled. With a
    ``simulated_application`` nothing but loopback is listened on, and boards of others' applications are not seen.
    ``desired`` tells whose a board is, where its source says so itself.
    """

    settings: Settings
    drivers: Mapping[str, BoardDriver]
    devices: Sequence[Device] = ()
    store: StoreThread | None = None
    access: Mapping[str, str] = field(default_factory=dict, repr=False)
    simulated_application: int | None = None
    desired: Desired = field(default_factory=Desired)

    @property
    def loopback_only(self) -> bool:
        """Whether nothing may leave this machine."""
        return self.simulated_application is not None


async def look_around(
    bench: Bench, seconds: float, *, heard: Callable[[Boards], bool] | None = None
) -> list[DiscoveredBoard]:
    """The boards that are advertised, sorted by application and id.

    Args:
        bench: with what.
        seconds: how long to listen.
        heard: called with all boards whenever there is news; True ends the listening.

    Raises:
        RadioError: no radio can be used.
    """

    def until(services: Mapping[str, MdnsService]) -> bool:
        return heard is not None and heard(_recognised(bench, services))

    LOG.debug("listening for boards, at most %g s", seconds)
    services = await scan(bench.settings, seconds, until=until, loopback_only=bench.loopback_only)
    return _recognised(bench, services)


def _recognised(bench: Bench, services: Mapping[str, MdnsService]) -> list[DiscoveredBoard]:
    found = [
        _as_claimed(bench, board)
        for service in services.values()
        for driver in bench.drivers.values()
        if (board := driver.recognise(service)) is not None
        and bench.simulated_application in (None, board.application_id)
    ]
    return sorted(found, key=lambda board: (board.board_type, board.key, board.name))


def _as_claimed(bench: Bench, board: DiscoveredBoard) -> DiscoveredBoard:
    """The board as its application's; one that is nobody's stays what its firmware says."""
    mine, _ = claimed(board, bench.desired)
    return board if mine.application_id is None else mine


async def find_targets(bench: Bench, words: Sequence[str], seconds: float) -> list[Target | EnmError]:
    """What each word names: a device by any of its names, a board by its id or instance name, or an address.

    Listens until all are heard, at most so many seconds; for addresses it does not listen at all. A word that names
    nothing has its error in its place.
    """
    named = [_named(bench, word) for word in words]
    if all(isinstance(place, (Target, EnmError)) for place in named):
        boards: Boards = ()
    else:
        boards = await look_around(
            bench, seconds, heard=lambda boards: all(not isinstance(_place(bench, n, boards), EnmError) for n in named)
        )
    return [_place(bench, name, boards) for name in named]


async def find_only_board(bench: Bench, seconds: float) -> Target:
    """The one board there is, for a call that names none.

    Raises:
        OfflineError: no board is heard.
        UsageError: several are.
    """
    found = await look_around(bench, seconds)
    if not found:
        raise OfflineError(
            f"no board was heard within {seconds:g} s", remedy="power it, or name it by address: http://10.0.0.7"
        )
    if len(found) > 1:
        raise UsageError(
            f"{len(found)} boards are heard", remedy="name one: " + ", ".join(board.local_id for board in found[:10])
        )
    return _target(bench, found[0], _device_of(bench, found[0]))


def _named(bench: Bench, word: str) -> Target | Device | str | EnmError:
    """What is known of a word before listening: a device, a board at an address, or a name yet to be heard."""
    try:
        device = find_device(bench.devices, word)
    except UnknownError:
        return _at_address(bench, word)
    except UsageError as error:
        return error
    if device.local_id is None:
        return UnknownError(f"no board is known to be {device.name or device.uuid[:8]}", remedy="see enmctl scan")
    return device


def _at_address(bench: Bench, word: str) -> Target | str | EnmError:
    """The board at an address; a word that is none is the name of a board yet to be heard."""
    try:
        board = next((board for driver in bench.drivers.values() if (board := driver.at_address(word))), None)
    except UsageError as error:
        return error
    if board is None:
        if "://" in word:
            return UsageError(f"{word!r} is no board's address", remedy="write it like http://user@10.0.0.7/update")
        return word
    if bench.loopback_only and not all(map(_is_loopback, board.addresses)):
        return UsageError(f"{word} is a real address", remedy="a simulated world has only this machine's own")
    return _target(bench, board, None)


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _place(bench: Bench, named: Target | Device | str | EnmError, boards: Boards) -> Target | EnmError:
    """What a word names among the boards that are heard."""
    if isinstance(named, (Target, EnmError)):
        return named
    if isinstance(named, Device):
        here = next((board for board in boards if board.key == named.key), None)
        if here is not None:
            return _target(bench, here, named)
        return OfflineError(f"{named.name or named.local_id} is not heard", remedy="power it and bring it into range")
    heard = [board for board in boards if named in (board.local_id, board.name)]
    if len(heard) == 1:
        return _target(bench, heard[0], _device_of(bench, heard[0]))
    if heard:
        return UsageError(
            f"{len(heard)} boards are called {named!r}", remedy="name one: " + ", ".join(board.name for board in heard)
        )
    return UnknownError(
        f"no device is called {named!r}, and no such board is heard", remedy="enmctl scan shows which are there"
    )


def _device_of(bench: Bench, board: DiscoveredBoard) -> Device | None:
    return next((device for device in bench.devices if device.key == board.key), None)


def _target(bench: Bench, board: DiscoveredBoard, device: Device | None) -> Target:
    own = (device.target_config or {}) if device is not None else {}
    return Target(board, bench.drivers[board.board_type], device, {**own, **bench.access})


async def flash(bench: Bench, target: Target, file: Path, *, hold: bool) -> AsyncGenerator[Step, None]:
    """Put a firmware file on a board; ends with ``Stage.DONE``.

    Raises:
        FirmwareError: the file cannot be sent to this board.
        EnmError: what a driver's ``update`` raises.
    """
    yield Step(Stage.CHECKING)
    firmware = await asyncio.to_thread(target.driver.read_firmware, file, target.config)
    if firmware.board_type != target.board.board_type:
        raise FirmwareError(f"{file.name} is for {firmware.board_type}, and {target.board.name} is none")
    async with (
        _journalled(bench, target, AttemptKind.FLASH, firmware.size) as journal,
        aclosing(_transferred(bench, target, firmware)) as steps,
    ):
        async for step in steps:
            await journal.note(step)
            if step.stage is not Stage.DONE:
                yield step
                continue
            await journal.succeed(step, held=target.device.target_commit if target.device and hold else None)
            yield replace(step, note=_what_follows(target, hold=hold))


async def _transferred(bench: Bench, target: Target, firmware: Firmware) -> AsyncGenerator[Step, None]:
    """The driver's steps, within the limit of one attempt."""
    limit = bench.settings.update_timeout
    deadline = asyncio.get_running_loop().time() + limit
    async with aclosing(target.driver.update(target.board, firmware, target.config)) as steps:
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    step = await anext(steps, None)
            except TimeoutError:
                raise TransferError(f"{target.board.name} was not done after {limit:g} s", reason="timeout") from None
            if step is None:
                return
            yield step


async def restart(bench: Bench, target: Target) -> AsyncGenerator[Step, None]:
    """Restart a board and wait until it is back; ends with ``Stage.DONE``."""
    async with _journalled(bench, target, AttemptKind.RESTART, 0) as journal:
        yield Step(Stage.ACTIVATING)
        await target.driver.restart(target.board, target.config)
        await journal.end(Outcome.SUCCEEDED)
    yield Step(Stage.DONE)


async def identify(target: Target) -> AsyncGenerator[Step, None]:
    """Make a board show itself; ends with ``Stage.DONE``."""
    await target.driver.identify(target.board, target.config)
    yield Step(Stage.DONE)


def _what_follows(target: Target, *, hold: bool) -> str:
    if target.device is None or target.device.wanted_commit is None:
        return ""
    if hold:
        return "a gateway leaves it alone until its target changes"
    return f"a gateway will put {short(target.device.wanted_commit)} back; --hold keeps it from that"


class _Journal:
    """The journal's row of one attempt by hand, where the board is a known device."""

    def __init__(self, store: StoreThread | None, target: Target, row: int | None) -> None:
        self._store = store
        self._target = target
        self._row = row
        self._began = asyncio.get_running_loop().time()
        self._stage: Stage | None = None
        self._sent = 0
        self.is_open = row is not None

    async def note(self, step: Step) -> None:
        """Write down the beginning of a stage."""
        if step.stage is Stage.TRANSFERRING:
            self._sent = step.done
        if self._store is None or self._row is None or step.stage in (self._stage, Stage.DONE):
            return
        self._stage = step.stage
        seconds = asyncio.get_running_loop().time() - self._began
        await self._store.call(Store.set_stage, self._row, step.stage, round(seconds, 3))

    async def end(self, outcome: Outcome, *, reason: str = "", message: str = "", proof: Proof | None = None) -> None:
        """Write down how it went."""
        if self._store is None or self._row is None or not self.is_open:
            return
        self.is_open = False
        await self._store.call(
            Store.end_attempt,
            self._row,
            outcome,
            ended_at=time.time(),
            proof=proof,
            reason=reason,
            message=message,
            sent=self._sent,
        )

    async def succeed(self, step: Step, *, held: str | None) -> None:
        """Write down success, and what the device runs now: its commit, where the board tells one."""
        device = self._target.device
        if self._store is None or self._row is None or device is None:
            return
        self.is_open = False
        await self._store.call(
            Store.succeed_update,
            self._row,
            device.uuid,
            ended_at=time.time(),
            proof=step.proof or Proof.RETURN_ALONE,
            commit=step.version,
            sent=self._sent,
            held_target=held,
            failures=0,
            failed_target=None,
            failed_permanently=False,
            failed_at=None,
            retry_at=None,
        )


@asynccontextmanager
async def _journalled(bench: Bench, target: Target, kind: AttemptKind, size: int) -> AsyncGenerator[_Journal]:
    """Journal an attempt before its first byte where the board is a known device; after, its end is written down."""
    store, device, row = bench.store, target.device, None
    if store is not None and device is not None:
        row = await store.call(Store.begin_attempt, kind, target.key, device.uuid, None, size, time.time())
    journal = _Journal(store, target, row)
    try:
        yield journal
    except (asyncio.CancelledError, GeneratorExit):
        await asyncio.shield(journal.end(Outcome.INTERRUPTED, reason="stopped", message="the command was stopped"))
        raise
    except EnmError as error:
        outcome = Outcome.UNKNOWN if isinstance(error, UnsettledError) else Outcome.FAILED
        await journal.end(outcome, reason=error.reason, message=str(error))
        raise
