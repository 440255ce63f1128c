"""The headings under which ``enmctl --help`` lists the commands, in its order."""

from __future__ import annotations

from enum import StrEnum


class Panel(StrEnum):
    """One heading."""

    GATEWAY = "Gateway"
    BOARDS = "Boards"
    DEVICES = "Devices"
    TRY = "Try it"
    HELP = "Help"
