"""enmctl keeps the microcontrollers behind a gateway on the right firmware.

This is all that programs of other people need, and docs/library.md is its page. Each name is imported when it is used,
so that ``import enmctl`` costs nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers know better; typing itself would be most of what an import costs
if TYPE_CHECKING:
    from enmctl import errors
    from enmctl.boards.contract import Firmware
    from enmctl.errors import EnmError
    from enmctl.firmware.inspect import Inspection, inspect
    from enmctl.library.board import Board
    from enmctl.library.pausing import Pause, paused
    from enmctl.library.radios import Radios, open_radios
    from enmctl.models import BoardMode, Proof, Radio, Stage, Step
    from enmctl.settings import Settings

__version__ = "0.1.0"

__all__ = [
    "Board",
    "BoardMode",
    "EnmError",
    "Firmware",
    "Inspection",
    "Pause",
    "Proof",
    "Radio",
    "Radios",
    "Settings",
    "Stage",
    "Step",
    "__version__",
    "errors",
    "inspect",
    "open_radios",
    "paused",
]

_ROOMS = {
    "boards.contract": ("Firmware",),
    "errors": ("EnmError",),
    "firmware.inspect": ("Inspection", "inspect"),
    "library.board": ("Board",),
    "library.pausing": ("Pause", "paused"),
    "library.radios": ("Radios", "open_radios"),
    "models": ("BoardMode", "Proof", "Radio", "Stage", "Step"),
    "settings": ("Settings",),
}
"""Where each name lives."""

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Import a name when it is used first (PEP 562)."""
        from importlib import import_module

        if name == "errors":
            return import_module("enmctl.errors")
        room = next((room for room, names in _ROOMS.items() if name in names), None)
        if room is None:
            raise AttributeError(f"module 'enmctl' has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(f"enmctl.{room}"), name)
        return found


def __dir__() -> list[str]:
    return sorted(__all__)
