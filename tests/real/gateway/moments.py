"""When a gateway is killed: at something that happens in the simulated world, or at any time."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from enmctl.simulator.esp8266_update import SECTOR, Outcome
from tests.real.gateway.rig import Rig

SIZE = 64 * 1024
"""Bytes of an image."""

MOST_BOARDS = 3
"""So many at first, and so many are made for an event that wants as many."""


def _count_requests(world: Rig) -> int:
    return len(world.supervisor.requests)


def _count_devices(world: Rig) -> int:
    return world.supervisor.inserted


def _count_answered_devices(world: Rig) -> int:
    return sum((request.method, request.status) == ("POST", 201) for request in world.supervisor.requests)


def _count_assets(world: Rig) -> int:
    return sum("/assets/" in request.path for request in world.supervisor.requests)


def _count_hooks(world: Rig) -> int:
    return world.supervisor.hooks_answered


def _count_commits(world: Rig) -> int:
    return sum(map(len, world.supervisor.commit_history.values()))


def _count_sectors(world: Rig) -> int:
    return sum(upload.size for board in world.boards for upload in board.uploads) // SECTOR


def _count_images(world: Rig) -> int:
    return sum(upload.outcome is Outcome.ACCEPTED for board in world.boards for upload in board.uploads)


def _count_falls(world: Rig) -> int:
    return sum(board.boots - (board.state == "running") for board in world.boards)


def _count_boots(world: Rig) -> int:
    return sum(board.boots for board in world.boards)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens in the world, and is counted; the first ``most`` of them in a gateway's life are used."""

    name: str
    count: Callable[[Rig], int]
    most: int
    wants: str = "update"
    """What has to be there for it to happen: a "device" to be asked for, an "update", or nothing ("")."""


EVENTS = (
    Event("a request came", _count_requests, 40, wants=""),
    Event("a device was inserted, not answered", _count_devices, 2, wants="device"),
    Event("a device was answered", _count_answered_devices, 2, wants="device"),
    Event("an asset was asked for", _count_assets, 1),
    Event("a hook was answered", _count_hooks, 3),
    Event("a sector reached a board", _count_sectors, 2 * SIZE // SECTOR),
    Event("an image was taken, not answered", _count_images, 2),
    Event("a board went down", _count_falls, 2),
    Event("a board came back", _count_boots, 2),
    Event("a commit was reported", _count_commits, 2),
)


@dataclass(frozen=True, slots=True)
class Moment:
    """When to kill: at an event, by its number in this gateway's life, or (None) at a time; and a little later."""

    event: Event | None
    number: int
    delay: float

    @classmethod
    def any(cls, chance: random.Random) -> Moment:
        """Any one."""
        event = chance.choice((None, None, *EVENTS))
        if event is None:
            return cls(None, 0, chance.uniform(0.0, 2.0))
        return cls(event, chance.randint(1, event.most), chance.choice((0.0, 0.0, chance.uniform(0.0, 0.05))))

    def __str__(self) -> str:
        if self.event is None:
            return f"{self.delay:.2f} s"
        later = f" + {self.delay * 1000:.0f} ms" if self.delay else ""
        return f"{self.event.name} ({self.number}){later}"

    def fits(self, world: Rig) -> bool:
        """Whether there are boards, and work for them, so that the event will come."""
        if self.event is None or self.event.wants == "":
            return True
        if self.event.wants == "device":
            return len(world.boards) >= world.supervisor.inserted + self.number
        return not world.on_target() and len(world.boards) >= min(self.number, MOST_BOARDS)

    @property
    def kind(self) -> str:
        """What to count it as."""
        return "a time had passed" if self.event is None else self.event.name
