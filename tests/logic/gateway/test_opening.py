"""Opening a radio beside the loop: who waits for it, when it is tried again, and what a pause makes of it."""

from __future__ import annotations

import asyncio

import pytest

from enmctl.errors import RadioError
from enmctl.gateway.opening import RETRY_MOST, Opening

pytestmark = pytest.mark.looptime

PASS = 1.0
"""Seconds between two passes."""


class Radio:
    """A radio that takes its time, and cannot be used for as long as it is broken."""

    def __init__(self, *, seconds: float = 0.0, is_broken: bool = False) -> None:
        self.seconds = seconds
        self.is_broken = is_broken
        self.is_open = False
        self.tries: list[float] = []

    async def start(self) -> None:
        self.tries.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.seconds)
        if self.is_broken:
            raise RadioError("no adapter", remedy="plug one")
        self.is_open = True

    async def stop(self) -> None:
        self.is_open = False


def opening_of(radio: Radio) -> Opening:
    return Opening(radio, changed=lambda: None)


async def passes(opening: Opening, seconds: float) -> None:
    for _ in range(round(seconds / PASS)):
        opening.want()
        await asyncio.sleep(PASS)


async def test_whoever_wants_it_open_does_not_wait_for_it_and_has_it_tried_once_at_a_time() -> None:
    radio = Radio(seconds=30.0)
    opening = opening_of(radio)
    await passes(opening, 10.0)
    assert (len(radio.tries), opening.opened_at, opening.is_first_try) == (1, None, True)
    await passes(opening, 30.0)
    assert radio.is_open
    assert opening.opened_at == pytest.approx(30.0)
    assert not opening.is_first_try
    assert len(radio.tries) == 1


async def test_it_is_tried_again_ever_less_often_and_says_why_it_is_not_open() -> None:
    radio = Radio(is_broken=True)
    opening = opening_of(radio)
    await passes(opening, 3000.0)
    waits = [later - earlier for earlier, later in zip(radio.tries, radio.tries[1:], strict=False)]
    assert waits[:7] == pytest.approx([2, 4, 8, 16, 32, 64, 128], abs=PASS)
    assert set(waits[8:]) == {RETRY_MOST}
    assert "no adapter" in str(opening.problem)
    assert not opening.is_first_try
    radio.is_broken = False
    await passes(opening, RETRY_MOST)
    assert opening.problem is None
    assert radio.is_open


async def test_news_of_the_adapter_bring_the_next_try_forward() -> None:
    radio = Radio(is_broken=True)
    opening = opening_of(radio)
    await passes(opening, 1000.0)
    tries, radio.is_broken = len(radio.tries), False
    opening.hurry()
    await passes(opening, 3.0)
    assert len(radio.tries) == tries + 1
    assert radio.is_open


async def test_a_person_waits_for_no_back_off_and_shares_the_try_that_is_under_way() -> None:
    radio = Radio(seconds=5.0, is_broken=True)
    opening = opening_of(radio)
    await passes(opening, 1000.0)
    tries = len(radio.tries)
    told = await asyncio.gather(opening.open(), opening.open(), return_exceptions=True)
    assert [str(error) for error in told] == [str(opening.problem)] * 2
    assert len(radio.tries) == tries + 1


async def test_whoever_waits_and_is_cancelled_leaves_the_others_their_try() -> None:
    opening = opening_of(Radio(seconds=5.0))
    impatient, patient = asyncio.create_task(opening.open()), asyncio.create_task(opening.open())
    await asyncio.sleep(1.0)
    impatient.cancel()
    await patient
    assert impatient.cancelled()


async def test_to_close_it_calls_the_try_off_at_once_and_the_next_one_waits_for_nothing() -> None:
    loop = asyncio.get_running_loop()
    radio = Radio(seconds=30.0, is_broken=True)
    opening = opening_of(radio)
    await passes(opening, 200.0)
    waiting = asyncio.create_task(opening.open())
    await asyncio.sleep(1.0)
    began = loop.time()
    await opening.close()
    assert loop.time() == began
    with pytest.raises(RadioError, match="let go"):
        await waiting
    radio.seconds, radio.is_broken = 0.0, False
    tries = len(radio.tries)
    await passes(opening, 1.0)
    assert len(radio.tries) == tries + 1
    await opening.close()
    assert not radio.is_open
    assert opening.opened_at is None
