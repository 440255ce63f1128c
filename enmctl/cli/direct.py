"""Work on boards without a running gateway, or beside a paused one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, nullcontext

from enmctl.boards.contract import BoardDriver
from enmctl.boards.installed import drivers
from enmctl.cli.claims import claims
from enmctl.cli.progress import Progress
from enmctl.cli.shell import Call
from enmctl.cli.wanted import Results, Wanted
from enmctl.errors import EnmError, UnknownError, UsageError
from enmctl.gateway import by_hand
from enmctl.gateway.by_hand import Bench
from enmctl.gateway.control import JobKind
from enmctl.gateway.jobs import Target
from enmctl.models import Step
from enmctl.store import StoreThread
from enmctl.store.reading import read_devices

Steps = AsyncGenerator[Step, None]


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
    async with call.world(), _bench(call, wanted) as bench:
        return (await by_hand.find_only_board(bench, _seconds(call, wanted))).board.name


async def _directly(call: Call, wanted: Wanted, shown: Progress) -> Results:
    words = list(dict.fromkeys(wanted.words))
    async with _bench(call, wanted) as bench:
        if words:
            found = await by_hand.find_targets(bench, words, _seconds(call, wanted))
        else:
            found = [await by_hand.find_only_board(bench, _seconds(call, wanted))]
            words = [target.board.name for target in found if not isinstance(target, EnmError)]
        places = asyncio.Semaphore(call.settings.wifi_concurrency)
        work = [_steps(bench, wanted, target) for target in _each_once(words, found)]
        return await asyncio.gather(
            *(_follow(word, steps, shown, places) for word, steps in zip(words, work, strict=True))
        )


async def _provision(call: Call, wanted: Wanted, shown: Progress) -> Results:
    from enmctl.gateway.provisioning_by_hand import provisioner

    seconds = _seconds(call, wanted)
    async with provisioner(call.settings, loopback_only=call.simulate) as provision:
        return await asyncio.gather(
            *(_follow(word, provision(word, seconds), shown) for word in dict.fromkeys(wanted.words))
        )


@asynccontextmanager
async def _bench(call: Call, wanted: Wanted) -> AsyncGenerator[Bench]:
    settings = call.settings
    devices = await asyncio.to_thread(read_devices, settings.database)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(StoreThread(settings.database)) if devices else None
        yield Bench(
            settings,
            drivers_of(drivers(settings), wanted.board_type),
            devices,
            store,
            access=wanted.access,
            simulated_application=call.simulated_application,
            desired=await claims(call),
        )


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


def _seconds(call: Call, wanted: Wanted) -> float:
    return call.settings.avahi_timeout if wanted.seconds is None else wanted.seconds


def _each_once(words: Sequence[str], found: Sequence[Target | EnmError]) -> list[Target | EnmError]:
    """The targets, with an error in place of each that was named before by another word."""
    taken: dict[object, str] = {}
    once: list[Target | EnmError] = []
    for word, target in zip(words, found, strict=True):
        if isinstance(target, EnmError):
            once.append(target)
            continue
        place = (target.board.addresses, target.board.port)
        first = taken.setdefault(place, word)
        once.append(target if first == word else UsageError(f"{word} is the same board as {first}"))
    return once


async def _steps(bench: Bench, wanted: Wanted, target: Target | EnmError) -> Steps:
    """What is wanted of one board, done without a gateway."""
    if isinstance(target, EnmError):
        raise target
    match wanted.kind:
        case JobKind.FLASH if wanted.file is not None:
            steps = by_hand.flash(bench, target, wanted.file, hold=wanted.hold)
        case JobKind.RESTART:
            steps = by_hand.restart(bench, target)
        case _:
            steps = by_hand.identify(target)
    async with aclosing(steps):
        async for step in steps:
            yield step


async def _follow(
    board: str, steps: Steps, shown: Progress, places: asyncio.Semaphore | None = None
) -> tuple[str, EnmError | None]:
    """Show how one board gets on; its error, where it fails."""
    try:
        async with places or nullcontext(), aclosing(steps):
            async for step in steps:
                shown.step(board, step)
    except EnmError as error:
        shown.failed(board, error)
        return board, error
    return board, None
