"""Windows by a clock on the wall, through the nights in which it is changed; limits; whose boards are whose."""

from __future__ import annotations

import time
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enmctl.policy import Membership, Policy, Window, is_named, wall_clock

VIENNA = "Europe/Vienna"
ZONES = ("UTC", VIENNA, "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia")


def at(text: str, zone: str = VIENNA, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def policy(*windows: Window, zone: str = VIENNA) -> Policy:
    return Policy(windows=windows, zone=zone)


NIGHT = policy(Window(22 * 60, 5 * 60))
FRIDAY_NIGHT = policy(Window(22 * 60, 5 * 60, frozenset({4})))
SMALL_HOURS = policy(Window(2 * 60, 3 * 60))


@pytest.mark.parametrize(
    ("one", "time", "is_open"),
    [
        (NIGHT, "2026-06-10 21:59", False),
        (NIGHT, "2026-06-10 22:00", True),
        (NIGHT, "2026-06-11 04:59", True),
        (NIGHT, "2026-06-11 05:00", False),
        (FRIDAY_NIGHT, "2026-06-12 23:00", True),
        (FRIDAY_NIGHT, "2026-06-13 04:00", True),
        (FRIDAY_NIGHT, "2026-06-12 04:00", False),
        (FRIDAY_NIGHT, "2026-06-13 23:00", False),
        (Policy(), "2026-06-13 23:00", True),
        (policy(Window(0, 24 * 60)), "2026-06-13 23:59", True),
    ],
)
def test_a_window_is_open_from_its_beginning_to_its_end(one: Policy, time: str, is_open: bool) -> None:
    assert one.is_open(at(time)) is is_open


def test_what_the_clock_does_not_show_in_spring_does_not_open() -> None:
    before = at("2026-03-29 01:59")
    assert not any(SMALL_HOURS.is_open(before + minute * 60) for minute in range(24 * 60 - 2 * 60))
    opens_at = SMALL_HOURS.opens_at(before)
    assert opens_at is not None
    assert wall_clock(opens_at, VIENNA).isoformat() == "2026-03-30T02:00:00+02:00"


def test_what_the_clock_shows_twice_in_autumn_opens_twice() -> None:
    first, second = at("2026-10-25 02:30"), at("2026-10-25 02:30", fold=1)
    assert second - first == 3600
    assert SMALL_HOURS.is_open(first)
    assert SMALL_HOURS.is_open(second)
    assert not SMALL_HOURS.is_open(at("2026-10-25 03:00"))


@pytest.mark.parametrize(
    ("window", "now", "opens_at"),
    [
        (Window(2 * 60 + 30, 5 * 60), "2026-03-28 23:00+01:00", "2026-03-29T03:00:00+02:00"),
        (Window(2 * 60, 5 * 60), "2026-03-28 23:00+01:00", "2026-03-29T03:00:00+02:00"),
        (Window(2 * 60, 2 * 60 + 30), "2026-10-25 02:45+02:00", "2026-10-25T02:00:00+01:00"),
    ],
)
@pytest.mark.parametrize("zone", [VIENNA, None])
def test_it_opens_at_the_first_minute_at_which_it_is_open_when_the_clock_is_changed(
    window: Window, now: str, opens_at: str, zone: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", VIENNA)
        time.tzset()
        moment = Policy(windows=(window,), zone=zone).opens_at(datetime.fromisoformat(now).timestamp())
    time.tzset()
    assert moment == datetime.fromisoformat(opens_at).timestamp()


WINDOWS = st.builds(
    Window,
    st.integers(0, 24 * 60 - 1),
    st.integers(0, 24 * 60 - 1),
    st.frozensets(st.integers(0, 6), min_size=1),
)


@given(WINDOWS, st.sampled_from(ZONES), st.integers(1_700_000_000, 1_900_000_000))
def test_it_is_open_exactly_when_the_wall_says_so_and_opens_when_it_says(window: Window, zone: str, now: int) -> None:
    one = policy(window, zone=zone)
    wall = wall_clock(now, zone)
    minute, yesterday = wall.hour * 60 + wall.minute, (wall.weekday() - 1) % 7
    today = wall.weekday() in window.days
    if window.start < window.end:
        expected = today and window.start <= minute < window.end
    else:
        expected = (today and minute >= window.start) or (yesterday in window.days and minute < window.end)
    assert one.is_open(now) is expected
    opens_at = one.opens_at(now)
    assert opens_at is None or (opens_at >= now and one.is_open(opens_at))


@pytest.mark.parametrize(
    ("one", "boards", "most"),
    [
        (Policy(), 10, None),
        (Policy(stop_after=2), 10, 2),
        (Policy(stop_share=0.1), 100, 10),
        (Policy(stop_share=0.1), 3, 1),
        (Policy(stop_after=2, stop_share=0.5), 100, 2),
    ],
)
def test_a_share_of_the_boards_is_one_at_least(one: Policy, boards: int, most: int | None) -> None:
    assert one.most_failures(boards) == most


def test_a_membership_takes_by_name_id_address_and_application() -> None:
    mine = Membership(("lamp-*", "126*"), frozenset({"c0:ff:ee:00:00:02"}), frozenset({7}), frozenset({"9"}))
    assert mine.takes(("lamp-1", "x"), (), None)
    assert mine.takes(("other", "1265892"), (), 1)
    assert mine.takes(("other", "x"), ("C0:FF:EE:00:00:02",), None)
    assert mine.takes(("other", "x"), (), 7)
    assert not mine.takes(("other", "x"), (), 8)
    assert not mine.takes(("other", "9"), (), 8), "that one is listed, which is asked apart"
    assert mine.lists("9")
    assert Membership(("BBC micro:bit [zavit]", "zuziv")).takes(("BBC micro:bit [zavit]", "zavit", "x"), (), None)
    assert not Membership(("lamp-*",), is_open=False).takes(("lamp-1", "x"), (), None)


@pytest.mark.parametrize(
    ("name", "pattern", "is_so"),
    [
        ("bench", "bench", True),
        ("Bench", "bench", False),
        ("lamp-12", "lamp-1?", True),
        ("BBC micro:bit [zavit]", "BBC micro:bit [zavit]", True),
        ("C0:FF:EE:00:00:02", "c0:ff:ee:00:00:02", True),
        ("C0:FF:EE:00:00:02", "c0:ff:*", True),
        ("C0:FF:EE:00:00:02", "c0:ff:ee", False),
    ],
)
def test_a_name_is_a_pattern_or_follows_it(name: str, pattern: str, is_so: bool) -> None:
    assert is_named(name, pattern) is is_so
