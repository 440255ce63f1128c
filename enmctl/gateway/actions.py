"""What a pass can decide to do: each action is plain data, and says why in ``describe``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from enmctl.models import BoardKey, DiscoveredBoard, ListedDevice, Report, short


@dataclass(frozen=True, slots=True)
class Meet:
    """Note a device that the source lists for the first time; no board is known to be it yet."""

    device: ListedDevice
    board_type: str

    def describe(self) -> str:
        """One line for people."""
        return f"note device {self.device.uuid[:8]}, which the source lists and no board is known to be"


@dataclass(frozen=True, slots=True)
class Record:
    """Take up what the source newly says of a device: single columns, nothing else."""

    uuid: str
    changes: Mapping[str, Any]

    def describe(self) -> str:
        """One line for people."""
        return f"take up {', '.join(sorted(self.changes))} of {self.uuid[:8]}"


@dataclass(frozen=True, slots=True)
class Inquire:
    """Ask the source for a device that its list left out, and forget the device where it is gone."""

    uuid: str

    def describe(self) -> str:
        """One line for people."""
        return f"ask the source for {self.uuid[:8]}, which its list left out"


@dataclass(frozen=True, slots=True)
class Provision:
    """Ask the source for a device for a board that is none yet."""

    application_id: int
    board: DiscoveredBoard

    @property
    def key(self) -> BoardKey:
        """The board's key."""
        return self.board.key

    def describe(self) -> str:
        """One line for people."""
        return f"provision board {self.board.local_id} for application {self.application_id}"


@dataclass(frozen=True, slots=True)
class Update:
    """Bring a device to a commit."""

    uuid: str
    key: BoardKey
    commit: str

    def describe(self) -> str:
        """One line for people."""
        return f"update {self.uuid[:8]} to {short(self.commit)}"


@dataclass(frozen=True, slots=True)
class Configure:
    """Hand a device its config and environment."""

    uuid: str
    key: BoardKey

    def describe(self) -> str:
        """One line for people."""
        return f"hand {self.uuid[:8]} its config and environment"


@dataclass(frozen=True, slots=True)
class Restart:
    """Restart a device that somebody wants restarted."""

    uuid: str
    key: BoardKey

    def describe(self) -> str:
        """One line for people."""
        return f"restart {self.uuid[:8]}"


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell the source how a device is."""

    uuid: str
    report: Report

    def describe(self) -> str:
        """One line for people."""
        return f"report {', '.join(sorted(self.report.fields()))} of {self.uuid[:8]}"


@dataclass(frozen=True, slots=True)
class Pin:
    """Have a device go back to its last good commit, for as long as its target stays as it is."""

    uuid: str
    commit: str
    target: str
    why: str

    def describe(self) -> str:
        """One line for people."""
        return f"have {self.uuid[:8]} go back to {short(self.commit)}: {self.why}"


@dataclass(frozen=True, slots=True)
class Hold:
    """Work that is to be done and that policy holds back for now."""

    work: Update | Configure
    why: str

    def describe(self) -> str:
        """One line for people."""
        return f"wait to {self.work.describe()}: {self.why}"


@dataclass(frozen=True, slots=True)
class Complain:
    """Say once what keeps something from being looked after."""

    about: str
    problem: str

    def describe(self) -> str:
        """One line for people."""
        return f"{self.about}: {self.problem}"


Action = Meet | Record | Inquire | Provision | Update | Configure | Restart | Tell | Pin | Hold | Complain
Work = Provision | Update | Configure | Restart
"""The actions that a board is needed for, each done by a worker of its own."""
