"""How a source may want its boards looked after: which are an application's, when they may be touched, and how boldly.

Plain data with pure questions; a source that says nothing of it (a Supervisor) leaves all of it out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from functools import lru_cache
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""The days of the week as a window names them, in the order of ``datetime.weekday``."""

DAY_MINUTES = 24 * 60

LOOKED_AHEAD = 8
"""Days in which every window that opens at all opens once."""

TRIES = 3
"""Failed tries after which a board counts as one that cannot be brought to a version, where nothing else is said."""


@dataclass(frozen=True, slots=True)
class Window:
    """A span of local time in which boards may be touched: what a clock on the wall shows is what counts.

    ``start`` and ``end`` are minutes of the day; an ``end`` that is not later than ``start`` is on the next day.
    ``days`` are those on which it begins, Monday being 0. In the night in which the clock is put forward a window that
    lies in the missing hour does not open; in the night in which it is put back one opens for both showings.
    """

    start: int
    end: int
    days: frozenset[int] = frozenset(range(7))

    def covers(self, wall: datetime) -> bool:
        """Whether it is open when a clock on the wall shows this."""
        minute, day = wall.hour * 60 + wall.minute, wall.weekday()
        if self.start < self.end:
            return day in self.days and self.start <= minute < self.end
        if minute >= self.start:
            return day in self.days
        return minute < self.end and (day - 1) % 7 in self.days

    def __str__(self) -> str:
        days = "" if len(self.days) == len(DAYS) else " ".join(DAYS[day] for day in sorted(self.days)) + " "
        return f"{days}{_clock(self.start)}-{_clock(self.end)}"


@dataclass(frozen=True, slots=True)
class Policy:
    """How boldly boards are brought to a version.

    Attributes:
        at_once: so many boards of the application are in hand at once at most; None for no limit but the radio's.
        canaries: patterns of the names, own ids or addresses of the boards that come first.
        canary_count: without ``canaries``, so many boards come first, whichever are there.
        well_for: seconds that those must stay well before the others follow.
        stop_after: a version on which so many boards failed goes to no further one.
        stop_share: the same as a share of the application's boards, from 0 to 1; one board at least.
        rollback: whether a board that cannot be brought to a version goes back to its last good one.
        tries: failed tries after which that is so; a fault that cannot get better needs one.
        windows: when boards may be touched; always, where there is none.
        zone: the time zone of the windows, like ``Europe/Vienna``; None for the machine's own.
    """

    at_once: int | None = None
    canaries: tuple[str, ...] = ()
    canary_count: int = 0
    well_for: float = 0.0
    stop_after: int | None = None
    stop_share: float | None = None
    rollback: bool = False
    tries: int = TRIES
    windows: tuple[Window, ...] = ()
    zone: str | None = None

    @property
    def has_canaries(self) -> bool:
        """Whether some boards come first."""
        return bool(self.canaries) or self.canary_count > 0

    def is_open(self, now: float) -> bool:
        """Whether boards may be touched at ``now`` (seconds since the epoch)."""
        if not self.windows:
            return True
        wall = wall_clock(now, self.zone)
        return any(window.covers(wall) for window in self.windows)

    def opens_at(self, now: float) -> float | None:
        """When boards may be touched next: ``now`` where they may, None where that is not within a week."""
        if self.is_open(now):
            return now
        wall = wall_clock(now, self.zone)
        starts = (
            start
            for day in range(LOOKED_AHEAD)
            for window in self.windows
            for start in _instants(wall + timedelta(days=day), window.start)
        )
        return min((start for start in starts if start > now and self.is_open(start)), default=None)

    def most_failures(self, boards: int) -> int | None:
        """On how many of so many boards a version may fail before it goes to no further one; None for any number."""
        limits = [] if self.stop_after is None else [self.stop_after]
        if self.stop_share is not None:
            limits.append(max(1, int(self.stop_share * boards)))
        return min(limits, default=None)


@dataclass(frozen=True, slots=True)
class Membership:
    """Which boards an application takes.

    Attributes:
        names: patterns of advertised names and of the boards' own ids; ``*``, ``?`` and ``[…]`` as in a shell.
        addresses: addresses, in lower case.
        applications: the applications that the boards' firmware names.
        listed: own ids of single boards, in lower case; they are taken whatever else is said.
        is_open: whether boards are taken that are not among ``listed``.
    """

    names: tuple[str, ...] = ()
    addresses: frozenset[str] = frozenset()
    applications: frozenset[int] = frozenset()
    listed: frozenset[str] = frozenset()
    is_open: bool = True

    def lists(self, local_id: str) -> bool:
        """Whether a board is one of those that are named singly."""
        return local_id.lower() in self.listed

    def takes(self, names: Sequence[str], addresses: Sequence[str], application_id: int | None) -> bool:
        """Whether a board that is not listed singly is taken all the same; ``names`` are its names and its id.

        A micro:bit's name has brackets in it, which a pattern would take for a choice of letters.
        """
        return self.is_open and (
            application_id in self.applications
            or any(address.lower() in self.addresses for address in addresses)
            or any(is_named(name, pattern) for pattern in self.names for name in names)
        )


def is_named(name: str, pattern: str) -> bool:
    """Whether a name, an id or an address is the pattern itself or follows it as in a shell.

    The letters of a Bluetooth address count as the same in either case.
    """
    if ":" in name:
        name, pattern = name.upper(), pattern.upper()
    return name == pattern or fnmatchcase(name, pattern)


def wall_clock(now: float, zone: str | None) -> datetime:
    """What a clock on the wall shows at ``now``; ``zone`` None is the machine's own."""
    return datetime.fromtimestamp(now, _zone(zone)) if zone else datetime.fromtimestamp(now).astimezone()


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def _instants(wall: datetime, minute: int) -> Iterator[float]:
    """Seconds since the epoch whenever a clock on the wall shows a minute of a day.

    That is twice where it is put back; of a minute that it leaves out it is the first one after it.
    """
    zone = wall.tzinfo if isinstance(wall.tzinfo, ZoneInfo) else None
    shown = wall.replace(hour=minute // 60, minute=minute % 60, second=0, microsecond=0, tzinfo=zone)
    first, second = (shown.replace(fold=fold).timestamp() for fold in (0, 1))
    if first <= second:
        yield from (first, second)
        return
    left_out = shown.replace(tzinfo=None)
    minutes = (second + 60 * number for number in range(int(first - second) // 60))
    yield next((each for each in minutes if datetime.fromtimestamp(each, zone).replace(tzinfo=None) > left_out), first)


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
