"""Work on boards without a running gateway, or beside a paused one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, nullcontext
from pathlib import Path

from enmctl.boards.contract import BoardDriver, Firmware
from enmctl.boards.installed import drivers
from enmctl.cli.asking import passkey_asker
from enmctl.cli.claims import claims
from enmctl.cli.progress import Progress
from enmctl.cli.shell import Call
from enmctl.cli.wanted import Results, Wanted
from enmctl.errors import BusyError, EnmError, FirmwareError, UnknownError, UsageError
from enmctl.firmware.inspect import inspect
from enmctl.gateway import by_hand, finding
from enmctl.gateway.control import JobKind
from enmctl.gateway.jobs import Target
from enmctl.gateway.lookout import Bench, look_around, with_bluetooth
from enmctl.gateway.memories import StoredMemories
from enmctl.gateway.update_lock import UpdateLock
from enmctl.models import Radio, Stage, Step
from enmctl.store import StoreThread
from enmctl.store.reading import read_devices

Steps = AsyncGenerator[Step, None]

HOW_TO_BE_HEARD = (
    "no board is heard yet. A micro:bit with an ordinary program is heard in its pairing mode alone: hold A and B,"
    " press and release reset, and let go of A and B once its LEDs fill (or, on a V2, press reset three times); compare"
    " the pattern that it shows with the name that is told here. Going on to listen; Ctrl-C ends it"
)


async def work(call: Call, wanted: Wanted, shown: Progress) -> Results:
    """Do what is wanted, and tell of each board how it went."""
    async with call.world():
        if wanted.kind is JobKind.PROVISION:
            return await _provision(call, wanted, shown)
        return await _directly(call, wanted, shown)


async def find_only_board(call: Call, wanted: Wanted) -> str:
    """The name of the one board there is.

    Raises:
        OfflineError: no board is heard.
        UsageError: several are.
    """
    async with call.world(), _bench(call, wanted) as bench, with_bluetooth(bench):
        return (await finding.find_only_board(bench, _seconds(bench, wanted))).board.name


async def _directly(call: Call, wanted: Wanted, shown: Progress) -> Results:
    async with _bench(call, wanted) as bench, _locked(bench, wanted), with_bluetooth(bench):
        words, found = await _targets(bench, wanted, _seconds(bench, wanted))
        if not wanted.all_boards:
            _allow_pairing(call, bench, shown)
        places = {
            Radio.WIFI: asyncio.Semaphore(call.settings.wifi_concurrency),
            Radio.BLUETOOTH: asyncio.Semaphore(call.settings.bluetooth_concurrency),
        }
        return await asyncio.gather(
            *(
                _follow(
                    word,
                    _steps(bench, wanted, target),
                    shown,
                    _place_of(target, places),
                    flashed=target if isinstance(target, Target) and wanted.kind is JobKind.FLASH else None,
                )
                for word, target in zip(words, _each_once(words, found), strict=True)
            )
        )


async def _targets(bench: Bench, wanted: Wanted, seconds: float) -> tuple[list[str], list[Target | EnmError]]:
    """The boards that are meant, each with the word for it."""
    words = list(dict.fromkeys(wanted.words))
    if words:
        return words, await finding.find_targets(bench, words, seconds)
    if not wanted.all_boards:
        target = await finding.find_only_board(bench, seconds)
        return [target.board.name], [target]
    found = [finding.target_of(bench, board) for board in await look_around(bench, seconds)]
    if not found:
        raise UnknownError(
            f"no board was heard within {seconds:g} s", remedy="power them and bring them into range, see enmctl scan"
        )
    return [target.board.local_id for target in found], list(found)


async def _drivers_for(
    drivers: Mapping[str, BoardDriver], file: Path, access: Mapping[str, str]
) -> Mapping[str, BoardDriver]:
    """The drivers of boards that can be sent a file; found out before any radio is touched.

    Raises:
        FirmwareError: it can be sent to no board.
    """
    read = {name: await asyncio.to_thread(_read, driver, file, access) for name, driver in drivers.items()}
    fitting = {name: drivers[name] for name, firmware in read.items() if isinstance(firmware, Firmware)}
    if fitting:
        return fitting
    errors = [error for error in read.values() if isinstance(error, FirmwareError)]
    if len(errors) == 1:
        raise errors[0]
    looked = await asyncio.to_thread(inspect, file)
    if looked.refusals:
        first = looked.refusals[0]
        raise FirmwareError(f"{file.name} cannot be sent, {first.message}", remedy=first.remedy, reason=first.reason)
    raise next((error for error in errors if error.reason == "system"), errors[0])


def _read(driver: BoardDriver, file: Path, access: Mapping[str, str]) -> Firmware | FirmwareError:
    try:
        return driver.read_firmware(file, access)
    except FirmwareError as error:
        return error


def _allow_pairing(call: Call, bench: Bench, shown: Progress) -> None:
    """Let boards be paired with: those that a person has named, or the only one."""
    ask = passkey_asker(call, shown)
    for driver in bench.of(Radio.BLUETOOTH).values():
        driver.surroundings.may_pair = True
        driver.surroundings.ask_passkey = ask


async def _provision(call: Call, wanted: Wanted, shown: Progress) -> Results:
    from enmctl.gateway.provisioning_by_hand import provisioner

    limits = call.settings.avahi_timeout, call.settings.bluetooth_long_timeout
    seconds = max(limits) if wanted.seconds is None else wanted.seconds
    async with provisioner(call.settings, reach=call.reach) as provision:
        return await asyncio.gather(
            *(_follow(word, provision(word, seconds), shown) for word in dict.fromkeys(wanted.words))
        )


@asynccontextmanager
async def _bench(call: Call, wanted: Wanted) -> AsyncGenerator[Bench]:
    """What work by hand needs: without a name the drivers alone of boards that the file is for.

    A database is opened where there is one, and made where a transfer must be remembered.
    """
    settings = call.settings
    devices = await asyncio.to_thread(read_devices, settings.database)
    chosen = drivers_of(drivers(settings), wanted.board_type)
    remembers = False
    if wanted.file is not None:
        fitting = await _drivers_for(chosen, wanted.file, wanted.access)
        remembers = any(driver.radio is Radio.BLUETOOTH for driver in fitting.values())
        chosen = chosen if wanted.words else fitting
    async with AsyncExitStack() as stack:
        store: StoreThread | None = None
        if devices or remembers:
            store = await stack.enter_async_context(StoreThread(settings.database))
            for driver in chosen.values():
                driver.surroundings.memories = StoredMemories(store)
        yield Bench(
            settings,
            chosen,
            devices,
            store,
            access=wanted.access,
            reach=call.reach,
            simulated_application=call.simulated_application,
            nothing_yet=_hint(call, wanted),
            desired=await claims(call),
        )


def _hint(call: Call, wanted: Wanted) -> Callable[[], None] | None:
    if wanted.kind is not JobKind.FLASH or call.output.quiet:
        return None
    return lambda: call.output.say(HOW_TO_BE_HEARD)


@asynccontextmanager
async def _locked(bench: Bench, wanted: Wanted) -> AsyncGenerator[None]:
    """Keep a Supervisor from stopping us in the middle of a transfer, on a machine that is a gateway.

    A lock that this gateway took is let be: it does the same, and is another command's or left over.

    Raises:
        BusyError: somebody else holds the update lock.
    """
    if bench.store is None or not bench.devices or wanted.kind is not JobKind.FLASH or wanted.dry_run:
        yield
        return
    lock = UpdateLock([bench.settings.lock_file, bench.settings.balena_lock_file], bench.store)
    if await lock.is_ours():
        yield
        return
    if (locked := lock.foreign()) is not None:
        raise BusyError(f"somebody else holds the update lock {locked}", remedy="try again when it is gone")
    await lock.acquire()
    try:
        yield
    finally:
        await lock.release()


def drivers_of(installed: Mapping[str, BoardDriver], board_type: str | None) -> Mapping[str, BoardDriver]:
    """The drivers of one type, or of all where none is named.

    Raises:
        UnknownError: no driver of that type is installed.
    """
    if board_type is None:
        return installed
    if board_type not in installed:
        raise UnknownError(
            f"there is no board type {board_type!r} here", remedy=f"installed are {', '.join(sorted(installed))}"
        )
    return {board_type: installed[board_type]}


def _seconds(bench: Bench, wanted: Wanted) -> float:
    return bench.longest if wanted.seconds is None else wanted.seconds


def _place_of(target: Target | EnmError, places: Mapping[Radio, asyncio.Semaphore]) -> asyncio.Semaphore | None:
    return None if isinstance(target, EnmError) else places[target.board.radio]


def _each_once(words: Sequence[str], found: Sequence[Target | EnmError]) -> list[Target | EnmError]:
    """The targets, with an error in place of each that was named before by another word."""
    taken: dict[object, str] = {}
    once: list[Target | EnmError] = []
    for word, target in zip(words, found, strict=True):
        if isinstance(target, EnmError):
            once.append(target)
            continue
        first = taken.setdefault(target.board.place, word)
        once.append(target if first == word else UsageError(f"{word} is the same board as {first}"))
    return once


async def _steps(bench: Bench, wanted: Wanted, target: Target | EnmError) -> Steps:
    """What is wanted of one board, done without a gateway."""
    if isinstance(target, EnmError):
        raise target
    match wanted.kind:
        case JobKind.FLASH if wanted.file is not None and wanted.dry_run:
            steps = _rehearsed(target, wanted.file)
        case JobKind.FLASH if wanted.file is not None:
            steps = by_hand.flash(bench, target, wanted.file, hold=wanted.hold)
        case JobKind.RESTART:
            steps = by_hand.restart(bench, target)
        case _:
            steps = by_hand.identify(target)
    async with aclosing(steps):
        async for step in steps:
            yield step


async def _rehearsed(target: Target, file: Path) -> Steps:
    """Say what would be sent, and send nothing."""
    firmware = await asyncio.to_thread(target.driver.read_firmware, file, target.config)
    yield Step(Stage.DONE, note=f"would send {firmware.describe}; nothing was sent")


async def _follow(
    board: str,
    steps: Steps,
    shown: Progress,
    places: asyncio.Semaphore | None = None,
    *,
    flashed: Target | None = None,
) -> tuple[str, EnmError | None]:
    """Show how one board gets on; its error, where it fails. Of one that is being flashed Ctrl-C tells what is left."""
    stage: Stage | None = None
    try:
        async with places or nullcontext(), aclosing(steps):
            async for step in steps:
                stage = step.stage
                shown.step(board, step)
    except EnmError as error:
        shown.failed(board, error)
        return board, error
    except asyncio.CancelledError:
        if flashed is not None and stage is not None:
            shown.stopped(board, await _what_is_left(flashed, stage))
        raise
    return board, None


async def _what_is_left(target: Target, stage: Stage) -> str:
    if stage in (Stage.ACTIVATING, Stage.RETURNING):
        return "it has taken all of it, and restarts"
    return await target.driver.left_with(target.board) or "it runs what it ran before"
