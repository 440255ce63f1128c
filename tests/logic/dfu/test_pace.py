"""The pace of packets to a board that is slower than the link."""

from __future__ import annotations

import pytest

from enmctl.dfu.pace import BURST_PACKETS, LEAST_PAUSE, LINK_MOST, Pace

PACKET = 20


class Ticking:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_without_a_limit_all_may_go_in_whole_packets() -> None:
    pace = Pace(None, Ticking(), PACKET)
    assert [pace.room(most) for most in (479, 480, 19, 0)] == [460, 480, 0, 0]
    pace.took(10_000)
    assert (pace.room(480), pace.pause()) == (480, 0.0)


def test_a_burst_is_smaller_than_the_buffers_of_a_board_and_then_packets_go_one_by_one() -> None:
    clock = Ticking()
    pace = Pace(1000.0, clock, PACKET)
    assert BURST_PACKETS < 8
    assert pace.room(480) == BURST_PACKETS * PACKET
    pace.took(BURST_PACKETS * PACKET)
    assert pace.room(480) == 0
    assert pace.pause() == pytest.approx(0.02)
    clock.now += 0.02
    assert pace.room(480) == PACKET


def test_a_pause_saves_up_no_more_than_a_burst() -> None:
    clock = Ticking()
    pace = Pace(1000.0, clock, PACKET)
    clock.now += 60.0
    assert pace.room(480) == BURST_PACKETS * PACKET


@pytest.mark.parametrize("limit", [6_700.0, 10_000.0, 12_800.0])
def test_over_a_while_as_much_goes_as_the_pace_allows_and_no_more(limit: float) -> None:
    clock = Ticking()
    pace = Pace(limit, clock, PACKET)
    sent = 0
    while clock.now < 10.0:
        room = pace.room(480)
        pace.took(room)
        sent += room
        if not room:
            clock.now += pace.pause()
    assert limit * 10 - PACKET <= sent <= limit * 10 + (BURST_PACKETS + 1) * PACKET


def test_a_pause_is_never_so_short_that_it_would_be_lost_in_rounding() -> None:
    clock = Ticking()
    pace = Pace(16_000.0, clock, PACKET)
    pace.took(BURST_PACKETS * PACKET - PACKET)
    assert pace.pause() == LEAST_PAUSE


def test_each_overflow_takes_a_fifth_away_from_the_links_speed_on() -> None:
    paces = [Pace.slower(None)]
    for _ in range(4):
        paces.append(Pace.slower(paces[-1]))
    assert paces == pytest.approx([LINK_MOST * 0.8**number for number in range(1, 6)])
