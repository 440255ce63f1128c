"""Work on boards without a running gateway, or beside a paused one."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

from enmctl.boards.access import MAX_SIZE, PATH, USER
from enmctl.boards.contract import BoardDriver
from enmctl.boards.installed import drivers
from enmctl.boards.manner import NO_RESUME, WORDS
from enmctl.cli.asking import passkey_asker
from enmctl.cli.progress import Progress
from enmctl.cli.shell import Call
from enmctl.cli.waiting import Waiting
from enmctl.cli.wanted import Results, Wanted
from enmctl.errors import EnmError, UnknownError, UsageError
from enmctl.gateway.control import JobKind
from enmctl.gateway.naming import call_names
from enmctl.library.board import Board
from enmctl.library.choosing import drivers_for, drivers_of
from enmctl.library.radios import Radios, bench_for, radios_of
from enmctl.models import Stage, Step

Steps = AsyncGenerator[Step, None]

ACCESS: Final = {USER: "--user", PATH: "--path", MAX_SIZE: "--max-size"}
"""The options that say how a board lets us in; a password is none."""


async def work(call: Call, wanted: Wanted, shown: Progress) -> Results:
    """Do what is wanted, and tell of each board how it went."""
    async with call.world():
        if wanted.kind is JobKind.PROVISION:
            return await _provision(call, wanted, shown)
        return await _directly(call, wanted, shown)


async def find_unnamed(call: Call, wanted: Wanted) -> list[str]:
    """A word for each board that is meant where none is named: the only one there is, or all that are heard.

    Raises:
        OfflineError: no board is heard.
        UsageError: several are, and not all are wanted.
    """
    async with call.world(), _radios(call, wanted) as (radios, waiting):
        return (await _boards(radios, wanted, waiting))[0]


async def _directly(call: Call, wanted: Wanted, shown: Progress) -> Results:
    async with _radios(call, wanted) as (radios, waiting):
        words, found = await _boards(radios, wanted, waiting)
        waiting.ends(board.target.board for board in found if isinstance(board, Board))
        if not wanted.all_boards:
            radios.allow_pairing(passkey_asker(call, shown))
        return await asyncio.gather(
            *(
                _follow(
                    word,
                    _steps(wanted, board),
                    shown,
                    again=_again(call, wanted, word, board),
                )
                for word, board in zip(words, _each_once(words, found), strict=True)
            )
        )


async def _boards(radios: Radios, wanted: Wanted, waiting: Waiting) -> tuple[list[str], Sequence[Board | EnmError]]:
    """The boards that are meant, each with the word for it."""
    words, seconds = list(dict.fromkeys(wanted.words)), waiting.seconds
    if words:
        return words, await radios.find_each(words, seconds=seconds)
    if not wanted.all_boards:
        board = await radios.find(seconds=seconds)
        return call_names([board.target.board]), [board]
    waiting.begins()
    found = await radios.find_all(seconds=seconds)
    if not found:
        raise UnknownError(
            f"no board was heard within {seconds:g} s", remedy="power them and bring them into range, see enmctl scan"
        )
    return call_names(board.target.board for board in found), found


async def _provision(call: Call, wanted: Wanted, shown: Progress) -> Results:
    from enmctl.gateway.provisioning_by_hand import provisioner

    limits = call.settings.avahi_timeout, call.settings.bluetooth_long_timeout
    seconds = max(limits) if wanted.seconds is None else wanted.seconds
    async with provisioner(call.settings, reach=call.reach) as provision:
        return await asyncio.gather(
            *(_follow(word, provision(word, seconds), shown) for word in dict.fromkeys(wanted.words))
        )


@asynccontextmanager
async def _radios(call: Call, wanted: Wanted) -> AsyncGenerator[tuple[Radios, Waiting]]:
    """The radios that the work needs, and waiting for boards: without a name those alone that the file is for."""
    settings = call.settings
    chosen = drivers_of(drivers(settings), wanted.board_type)
    fitting: Mapping[str, BoardDriver] = {}
    if wanted.file is not None:
        fitting = await drivers_for(chosen, wanted.file, wanted.config)
        chosen = chosen if wanted.words else fitting
    waiting = Waiting(call, wanted, fitting or None, chosen)
    bench = replace(
        await bench_for(settings, chosen, call.output.say, access=wanted.config, reach=call.reach),
        simulated_application=call.simulated_application,
        nothing_yet=waiting.nothing_yet,
        fitting=fitting or None,
    )
    async with radios_of(bench) as radios:
        yield radios, waiting


def _each_once(words: Sequence[str], found: Sequence[Board | EnmError]) -> list[Board | EnmError]:
    """The boards, with an error in place of each that was named before by another word."""
    taken: dict[object, str] = {}
    once: list[Board | EnmError] = []
    for word, board in zip(words, found, strict=True):
        if isinstance(board, EnmError):
            once.append(board)
            continue
        first = taken.setdefault(board.target.board.place, word)
        once.append(board if first == word else UsageError(f"{word} is the same board as {first}"))
    return once


async def _steps(wanted: Wanted, board: Board | EnmError) -> Steps:
    """What is wanted of one board, done without a gateway."""
    if isinstance(board, EnmError):
        raise board
    match wanted.kind:
        case JobKind.FLASH if wanted.file is not None and wanted.dry_run:
            yield Step(Stage.CHECKING)
            yield Step(Stage.DONE, note=f"nothing was sent; {await board.rehearse(wanted.file)}")
        case JobKind.FLASH if wanted.file is not None:
            async with aclosing(board.flash(wanted.file, hold=wanted.hold)) as steps:
                async for step in steps:
                    yield step
        case JobKind.RESTART:
            yield Step(Stage.ACTIVATING)
            yield Step(Stage.DONE, note=await board.restart())
        case _:
            await board.identify()
            yield Step(Stage.DONE)


@dataclass(frozen=True, slots=True)
class _Again:
    """A board that is being flashed, and the command that does so again."""

    board: Board
    command: str


def _again(call: Call, wanted: Wanted, word: str, board: Board | EnmError) -> _Again | None:
    if isinstance(board, EnmError) or wanted.kind is not JobKind.FLASH or wanted.dry_run:
        return None
    options = [f"--{WORDS[name]}" for name in wanted.manner if name != NO_RESUME]
    options += ["--hold"] if wanted.hold else []
    options += [f"--board={wanted.board_type}"] if wanted.board_type else []
    options += [f"{ACCESS[name]}={value}" for name, value in wanted.access.items() if name in ACCESS]
    simulate = ["--simulate"] if call.simulate else []
    return _Again(board, shlex.join(["enmctl", *simulate, "flash", str(wanted.file), word, *options]))


async def _follow(
    word: str, steps: Steps, shown: Progress, *, again: _Again | None = None
) -> tuple[str, EnmError | None]:
    """Show how one board gets on; its error, where it fails. Of one that is being flashed Ctrl-C tells what is left."""
    stage: Stage | None = None
    try:
        async with aclosing(steps):
            async for step in steps:
                stage = step.stage
                shown.step(word, step)
    except EnmError as error:
        shown.failed(word, error)
        return word, error
    except asyncio.CancelledError:
        if again is not None and stage is not None:
            shown.stopped(word, await _what_is_left(again, stage))
        raise
    return word, None


async def _what_is_left(again: _Again, stage: Stage) -> str:
    if stage in (Stage.ACTIVATING, Stage.RETURNING):
        return "it has taken all of it, and restarts"
    left = await again.board.left_with() or "it runs what it ran before"
    return f"{left}: {again.command}" if left.endswith("to go on") else f"{left}; to flash it again: {again.command}"
