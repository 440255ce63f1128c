"""Waiting for boards that are not heard yet: for how long, and what the person who waits is told meanwhile."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from enmctl.boards.contract import BoardDriver
from enmctl.boards.microbit import Microbit, led_columns
from enmctl.cli.durations import spell
from enmctl.cli.shell import Call
from enmctl.cli.wanted import Wanted
from enmctl.gateway.control import JobKind
from enmctl.gateway.lookout import has_bluetooth, usual_span
from enmctl.models import DiscoveredBoard

PATIENCE: Final = 60.0
"""Seconds in which a person at a terminal brings a micro:bit into its pairing mode."""

HOW_TO_BE_HEARD: Final = (
    "A micro:bit with an ordinary program is heard in its pairing mode alone: hold A and B, press and release reset,"
    " and let go of A and B once its LEDs fill (or, on a V2, press reset three times); the pattern that it shows then"
    " stands for its name"
)


class Waiting:
    """What a command does while a board is not heard.

    Args:
        call: the command.
        wanted: what it is to do.
        fitting: the board types that its file is for, None where it has none.
        drivers: of the boards that it listens for; one that has a radio can be used.
    """

    def __init__(
        self, call: Call, wanted: Wanted, fitting: Collection[str] | None, drivers: Mapping[str, BoardDriver]
    ) -> None:
        self._call = call
        self._wanted = wanted
        self._drivers = drivers
        self._may_pair = wanted.kind is JobKind.FLASH and Microbit.board_type in (fitting or ())
        self._has_told = False

    @property
    def seconds(self) -> float:
        """For how long to listen at most."""
        if self._wanted.seconds is not None:
            return self._wanted.seconds
        usual = usual_span(self._call.settings, self._drivers)
        is_waited_for = self._may_pair and not self._wanted.all_boards and self._is_seen
        return max(usual, PATIENCE) if is_waited_for and has_bluetooth(self._drivers) else usual

    @property
    def _is_seen(self) -> bool:
        return sys.stderr.isatty() and not self._call.output.quiet and not self._call.output.as_json

    def begins(self) -> None:
        """Say that it takes a while, where all are waited for who may come."""
        if self._wanted.all_boards and not self._wanted.words:
            self._call.output.say(f"listening {spell(self.seconds)} for boards; --timeout sets how long")

    def nothing_yet(self) -> None:
        """Say what may help, and that it goes on."""
        self._has_told = True
        words = self._wanted.words
        who = "no board" if not words else words[0] if len(words) == 1 else f"one of {', '.join(words)}"
        may_pair = self._may_pair and has_bluetooth(self._drivers)
        what_helps = f". {HOW_TO_BE_HEARD}" if may_pair else ": see that it has power and is in range"
        self._call.output.say(
            f"{who} is {'not ' if words else ''}heard yet{what_helps}."
            f" Listening for {spell(self.seconds)} in all; Ctrl-C ends it"
        )

    def ends(self, boards: Iterable[DiscoveredBoard]) -> None:
        """Say by what a board can be told that was waited for."""
        if not self._has_told:
            return
        for board in boards:
            columns = led_columns(board.short_name)
            if columns:
                self._call.output.say(f"{board.short_name} is heard: the columns of its pattern have {columns} lights")
