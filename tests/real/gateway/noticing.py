"""Being told of each change in the simulated world at once, before the world goes on by a single step."""

from __future__ import annotations

from collections.abc import Callable

from enmctl.simulator.esp8266 import SimulatedEsp8266
from enmctl.simulator.supervisor.changes import Changes
from tests.real.gateway.rig import Rig

Look = Callable[[], None]


class Noticing(Changes):
    """Changes that call somebody first; whoever waited for those before waits for these.

    Args:
        before: the changes that these take over from.
        look: called at each change, in the middle of what changes.
    """

    def __init__(self, before: Changes, look: Look) -> None:
        super().__init__()
        self._waiting = before._waiting
        self._look = look

    def changed(self) -> None:
        """Look, and then say that something changed."""
        self._look()
        super().changed()


def notice(world: Rig, look: Look) -> None:
    """Have ``look`` called at each change of the Supervisor, and of the boards that are there now.

    A device that was inserted has not been answered yet, an image that was taken neither; a byte that a board counts
    is one that it has only just read.
    """
    world.supervisor.changes = Noticing(world.supervisor.changes, look)
    for board in world.boards:
        notice_board(board, look)


def notice_board(board: SimulatedEsp8266, look: Look) -> None:
    """The same for a board that came later."""
    board._changes = Noticing(board._changes, look)
