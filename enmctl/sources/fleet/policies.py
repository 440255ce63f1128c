"""The policy of a fleet file, or of one of its applications: how boldly boards are brought to a version, and when."""

from __future__ import annotations

import re
from typing import Final

from enmctl.policy import DAYS, Policy, Window
from enmctl.sources.fleet.sections import Section

CLOCK: Final = "([01][0-9]|2[0-3]):[0-5][0-9]"
BEGINS: Final = (CLOCK, 'a time of day like "22:00", from "00:00" to "23:59"')
ENDS: Final = (f"{CLOCK}|24:00", 'a time of day like "05:00", from "00:00" to "24:00"')
"""When a window may begin and end: as a pattern, and in words."""

SHARE: Final = re.compile(r"(\d{1,3}(?:\.\d{1,3})?)\s*%", re.ASCII)
BOARDS_MOST: Final = 100_000


def read_policy(section: Section, known: Policy) -> Policy:
    """A policy; what it leaves out is as in ``known``."""
    at_once = section.whole("at_once", 1, BOARDS_MOST)
    canaries, canary_count = _canaries(section, known)
    well_for = section.span("well_for") if "well_for" in section else known.well_for
    stop_after, stop_share = _stop(section, known)
    rollback = section.flag("rollback", default=known.rollback)
    tries = section.whole("tries", 1, 100) or known.tries
    zone = section.text("timezone", allowed='a time zone like "Europe/Vienna"') or known.zone
    if zone is not None and not _is_zone(zone):
        section.fault("timezone", f'{zone!r} is no time zone here: it must be one like "Europe/Vienna"')
        zone = None
    windows = _windows(section) if "windows" in section else known.windows
    section.end()
    return Policy(
        at_once=at_once if at_once is not None else known.at_once,
        canaries=canaries,
        canary_count=canary_count,
        well_for=well_for,
        stop_after=stop_after,
        stop_share=stop_share,
        rollback=rollback,
        tries=tries,
        windows=windows,
        zone=zone,
    )


def _canaries(section: Section, known: Policy) -> tuple[tuple[str, ...], int]:
    if "canaries" not in section:
        return known.canaries, known.canary_count
    if isinstance(section.raw("canaries"), list):
        return tuple(section.list_of("canaries", str, "a board's name, id or address, or a pattern", bool)), 0
    if isinstance(section.raw("canaries"), str):
        section.fault("canaries", "text cannot be `canaries`: it must be a list of boards, or how many")
        return (), 0
    return (), section.whole("canaries", 0, BOARDS_MOST) or 0


def _stop(section: Section, known: Policy) -> tuple[int | None, float | None]:
    if "stop_after" not in section:
        return known.stop_after, known.stop_share
    value = section.raw("stop_after")
    if not isinstance(value, str):
        return section.whole("stop_after", 1, BOARDS_MOST), None
    match = SHARE.fullmatch(value)
    if match is None or not 0 < float(match[1]) <= 100:  # noqa: PLR2004 - per cent
        allowed = 'a number without quotes, or a share above 0 like "10%"'
        section.fault("stop_after", f"{value!r} cannot be `stop_after`: it must be {allowed}")
        return None, None
    return None, float(match[1]) / 100


def _windows(section: Section) -> tuple[Window, ...]:
    allowed = '{ days = ["mon", "tue"], from = "22:00", to = "05:00" }'
    windows = []
    for below in section.section_list("windows", allowed):
        start, end = _clock(below, "from", BEGINS, allowed), _clock(below, "to", ENDS, allowed)
        days = below.list_of("days", str, f"one of {', '.join(DAYS)}", lambda day: day in DAYS)
        below.end()
        if "days" in below and not days and below.raw("days") == []:
            below.fault("days", "a window without a day never opens: name its days, or leave days out for all")
        if start is None or end is None:
            continue
        if start == end:
            below.fault("to", "a window that ends as it begins never opens: it must end later, or windows be empty")
            continue
        numbers = frozenset(map(DAYS.index, days)) if "days" in below else frozenset(range(len(DAYS)))
        windows.append(Window(start, end, numbers))
    return tuple(windows)


def _clock(section: Section, name: str, times: tuple[str, str], allowed: str) -> int | None:
    """Minutes from the beginning of the day."""
    text = section.text(name, *times)
    if name not in section:
        section.fault_at((), f"the window has no {name}: it must be like {allowed}")
    if text is None:
        return None
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


def _is_zone(name: str) -> bool:
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        return False
    return True
