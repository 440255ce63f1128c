"""Which board a person means: by a device's name, by what boards are called that are heard, or by an address."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from enmctl.boards.adverts import FRIENDLY, is_next
from enmctl.errors import EnmError, OfflineError, UnknownError, UsageError
from enmctl.gateway.jobs import Target, refuse_unless_simulated
from enmctl.gateway.lookout import Bench, Boards, find_boards, has_bluetooth, look_around
from enmctl.gateway.naming import call_names, find_device, is_called
from enmctl.models import BoardMode, Device, DiscoveredBoard, Radio

NAMES_MOST: Final = 10
"""So many boards are named where one is to be chosen."""


async def find_targets(bench: Bench, words: Sequence[str], seconds: float) -> list[Target | EnmError]:
    """What each word names: a device by any of its names, a board by its id or name, or an address.

    Listens until all are heard, at most so many seconds; for addresses on the network it does not listen at all. A word
    that names nothing has its error in its place.
    """
    named = [_named(bench, word) for word in words]

    def all_are_there(boards: Boards) -> bool:
        return not any(_is_missing(bench, name, boards) for name in named)

    boards = () if all_are_there(()) else await look_around(bench, seconds, heard=all_are_there)
    return [_placed(bench, name, boards) for name in named]


async def find_only_board(bench: Bench, seconds: float) -> Target:
    """The one board there is, for a call that names none: the first that is heard, if no other follows soon.

    Raises:
        OfflineError: no board is heard.
        UsageError: several are.
        RadioError: no board is heard, and a radio that might hear it cannot be used.
    """
    found = await find_boards(bench, seconds)
    if not found:
        if bench.trouble and not bench.of(Radio.WIFI):
            raise bench.trouble[0]
        raise OfflineError(
            f"no board was heard within {seconds:g} s", remedy="power it, or name it by address: http://10.0.0.7"
        )
    places = {board.place for board in found}
    if len(places) > 1:
        names = ", ".join(dict.fromkeys(call_names(found[:NAMES_MOST])))
        raise UsageError(f"{len(places)} boards are heard", remedy=f"name one: {names}; or all of them: --all")
    if len(found) > 1:
        raise _which_type(found)
    return target_of(bench, found[0])


def _is_missing(bench: Bench, named: Target | Device | str | EnmError, boards: Boards) -> bool:
    """Whether listening on may bring what was named; what is ambiguous stays so."""
    if isinstance(named, (Target, EnmError)) or _is_out_of_hearing(bench, named):
        return False
    return isinstance(_place(bench, named, boards), OfflineError | UnknownError)


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
    """The board at an address on the network; a word that is none is the name of a board yet to be heard."""
    drivers = bench.of(Radio.WIFI).values()
    try:
        board = next((board for driver in drivers if (board := driver.at_address(word))), None)
        if board is not None and bench.reach.loopback_only:
            refuse_unless_simulated(board, word)
    except UsageError as error:
        return error
    if board is None:
        if "://" in word:
            return UsageError(f"{word!r} is no board's address", remedy="write it like http://user@10.0.0.7/update")
        return word
    return _target(bench, board, None)


def _placed(bench: Bench, named: Target | Device | str | EnmError, boards: Boards) -> Target | EnmError:
    """What a word names in the end; what only a radio could have heard that does not work has that as its error."""
    place = _place(bench, named, boards)
    if not isinstance(place, OfflineError | UnknownError) or not bench.trouble:
        return place
    if _is_for_bluetooth(bench, named):
        return bench.trouble[0]
    if not isinstance(named, EnmError):
        place.remedy = f"{place.remedy}; not all radios were listened on: {bench.trouble[0].message}"
    return place


def _is_out_of_hearing(bench: Bench, named: Device | str) -> bool:
    """Whether only Bluetooth could bring what is named, and it cannot be used."""
    return bool(bench.trouble) and not has_bluetooth(bench.drivers) and _is_for_bluetooth(bench, named)


def _is_for_bluetooth(bench: Bench, named: Target | Device | str | EnmError) -> bool:
    """Whether what a word names can be reached over Bluetooth alone."""
    if not bench.of(Radio.WIFI):
        return True
    drivers = bench.of(Radio.BLUETOOTH)
    if isinstance(named, Device):
        return named.board_type in drivers
    if not isinstance(named, str):
        return False
    is_file_for_it = bool(bench.fitting) and drivers.keys() >= set(bench.fitting or ())
    is_shown_by_leds = bool(drivers) and FRIENDLY.fullmatch(named.lower()) is not None
    return is_file_for_it or is_shown_by_leds or any(driver.at_address(named) for driver in drivers.values())


def _place(bench: Bench, named: Target | Device | str | EnmError, boards: Boards) -> Target | EnmError:
    """What a word names among the boards that are heard."""
    if isinstance(named, (Target, EnmError)):
        return named
    if isinstance(named, Device):
        here = next((board for board in boards if board.key == named.key), None)
        if here is not None:
            return _target(bench, here, named)
        return OfflineError(f"{named.name or named.local_id} is not heard", remedy="power it and bring it into range")
    called = [board for board in boards if is_called(board, named)]
    return _called(bench, named, called or [board for board in boards if _has_bootloader_at(board, named)])


def _has_bootloader_at(board: DiscoveredBoard, address: str) -> bool:
    """Whether it may be this board's bootloader that is heard at an address, the next one to its own."""
    return board.mode is BoardMode.BOOTLOADER and is_next(address, board.local_id)


def _called(bench: Bench, word: str, heard: Boards) -> Target | EnmError:
    """The one board that is called so."""
    if not heard:
        return UnknownError(
            f"no device is called {word!r}, and no such board is heard", remedy="enmctl scan shows which are there"
        )
    if len({board.place for board in heard}) > 1:
        names = ", ".join(dict.fromkeys(call_names(heard)))
        return UsageError(f"{len(heard)} boards are called {word!r}", remedy=f"name one: {names}")
    heard = _fitting(bench, heard)
    return _which_type(heard) if len(heard) > 1 else target_of(bench, heard[0])


def _fitting(bench: Bench, boards: Boards) -> Boards:
    """What one board may be: where it does not tell its type itself, one that what is to be sent is for."""
    fitting = [board for board in boards if bench.fitting is None or board.board_type in bench.fitting]
    return fitting or boards


def _which_type(boards: Boards) -> UsageError:
    """The error for a board in its bootloader, of which nothing tells the type."""
    types = sorted({board.board_type for board in boards})
    return UsageError(
        f"{boards[0].local_id} waits in its bootloader and does not tell what it is",
        remedy="say it: " + " or ".join(f"--board {name}" for name in types),
    )


def _device_of(bench: Bench, board: DiscoveredBoard) -> Device | None:
    return next((device for device in bench.devices if device.key == board.key), None)


def _target(bench: Bench, board: DiscoveredBoard, device: Device | None) -> Target:
    own = (device.target_config or {}) if device is not None else {}
    return Target(board, bench.drivers[board.board_type], device, {**own, **bench.access})


def target_of(bench: Bench, board: DiscoveredBoard) -> Target:
    """A board that was heard, as work by hand wants it."""
    return _target(bench, board, _device_of(bench, board))
