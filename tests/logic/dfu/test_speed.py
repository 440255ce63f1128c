"""How fast a board gets its image in the model of a link; ``benchmarks/dfu.py`` measures the same at full size."""

from __future__ import annotations

import pytest

from benchmarks.recorded import Record
from enmctl.dfu.limits import Limits
from enmctl.dfu.update import Job, update
from enmctl.simulator.nordic.link_model import Timing
from enmctl.simulator.nordic.model import Model
from tests.logic.dfu.schedules import VARIANTS, Variant, image_of

SIZE = 32 * 1024
V1, V2 = (next(each for each in VARIANTS if each.name == name) for name in ("micro:bit V1", "micro:bit V2"))


class Timed:
    """One update of a board, and when it asked and heard what, in hex."""

    def __init__(self, variant: Variant, interval: float, packets: int, *, drain: float | None = None) -> None:
        old, new = image_of(variant, SIZE, 1), image_of(variant, SIZE, 2)
        self.board = variant.make(old)
        self.model = Model(self.board, Timing(interval=interval, packets=packets))
        self.model.air.power(on=True)
        self.model.clock.sleep(1.0)
        self.board.machine.flash.drain(drain)
        self.record = Record(self.model.now)
        job = Job("the board", lambda _: variant.choice(new))
        self.model.run(self.record.of(update(job, self.model.memory, Limits(), self.model.now)))
        self.model.clock.sleep(5.0)
        assert self.board.image() == new

    def times(self, start: str) -> list[float]:
        return [done.began for done in self.record.done if done.asked(start)]

    @property
    def receiving(self) -> float:
        return [done.ended for done in self.record.done if done.heard("100301")][-1] - self.times("03")[-1]


@pytest.mark.parametrize("packets", [1, 4, 6])
@pytest.mark.parametrize("interval", [0.0075, 0.05])
def test_legacy_dfu_fills_the_link_without_an_overflow(interval: float, packets: int) -> None:
    timed = Timed(V1, interval, packets)
    assert SIZE / timed.receiving >= 0.97 * packets * 20 / interval
    assert not [done for done in timed.record.done if done.heard("100306")]


@pytest.mark.parametrize("drain", [6_700.0, 10_000.0, 13_300.0])
def test_a_slow_board_has_its_image_after_at_most_four_restarts_and_then_at_its_own_pace(drain: float) -> None:
    timed = Timed(V1, 0.0075, 6, drain=drain)
    assert 1 <= len(timed.times("06")) <= 4
    assert SIZE / timed.receiving >= 0.75 * drain
    assert timed.model.memory.pace is not None


@pytest.mark.parametrize(
    ("interval", "packets", "least"), [(0.0075, 2, 28_000), (0.0075, 3, 28_000), (0.015, 3, 24_000)]
)
def test_secure_dfu_leaves_the_flash_little_time_to_rest(interval: float, packets: int, least: float) -> None:
    timed = Timed(V2, interval, packets)
    objects, ended = timed.times("0102"), timed.times("04")
    assert (SIZE - 4096) / (ended[-1] - objects[1]) >= least
    requests = [done for done in timed.record.done if done.asked("") and done.began >= objects[0]]
    assert len(requests) == 2 * len(objects)
