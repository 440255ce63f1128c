"""Which program a simulated board runs, as what is in its flash decides."""

from __future__ import annotations

from collections.abc import Callable

from enmctl.simulator.nordic.microbit_application import Habits, MicrobitApplication
from enmctl.simulator.nordic.nrf51822dk_application import Nrf51822DkApplication
from enmctl.simulator.nordic.partial_flashing import INCOMPLETE
from enmctl.simulator.nordic.program import Boot, Machine, Program
from enmctl.simulator.nordic.records import Storage
from enmctl.simulator.nordic.secure_application import SecureApplication
from enmctl.simulator.nordic.traits import UNMARKED, Found, find

StartProgram = Callable[[Machine, Found, Boot, float], Program]


class Applications:
    """The programs of one kind of board.

    Args:
        start: starts a program of such a board.
        unmarked: what is taken for granted of firmware that was not made for simulated boards.
    """

    def __init__(self, start: StartProgram, unmarked: Found = UNMARKED) -> None:
        self._start = start
        self._unmarked = unmarked

    def start(self, machine: Machine, boot: Boot, now: float, *, known_size: int) -> Program | None:
        """Start what is in the flash; None where that is no program that runs."""
        found = self._find(machine, known_size, unfinished=self._unfinished(machine))
        return None if found is None else self._start(machine, found, boot, now)

    def size(self, machine: Machine, *, known_size: int) -> int:
        """Bytes of the program in the flash, 0 where they do not tell."""
        found = None if self._unfinished(machine) else self._find(machine, known_size)
        return known_size if found is None else found.size

    def _unfinished(self, machine: Machine) -> bool:
        return Storage(machine.flash, machine.layout.storage).has(INCOMPLETE)

    def _find(self, machine: Machine, known_size: int, *, unfinished: bool = False) -> Found | None:
        unmarked = self._unmarked
        return find(machine.flash, machine.layout, known_size=known_size, unfinished=unfinished, unmarked=unmarked)


def microbit(habits: Habits, unmarked: Found = UNMARKED) -> Applications:
    """What runs on micro:bits."""
    return Applications(
        lambda machine, found, boot, now: MicrobitApplication(machine, found, boot, now, habits), unmarked
    )


def nrf51822dk(unmarked: Found = UNMARKED) -> Applications:
    """What runs on an nRF51822-DK."""
    return Applications(lambda machine, found, _boot, _now: Nrf51822DkApplication(machine, found), unmarked)


def stock_secure(unmarked: Found = UNMARKED) -> Applications:
    """What runs on a board with SDK 15."""
    return Applications(lambda machine, found, _boot, _now: SecureApplication(machine, found), unmarked)
