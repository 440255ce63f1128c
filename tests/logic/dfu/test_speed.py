"""How fast a board gets its image in the model of a link; ``benchmarks/dfu.py`` measures the same at full size."""

from __future__ import annotations

from typing import Any

import pytest

from enmctl.dfu.limits import Limits
from enmctl.dfu.link import LinkError, Notification, Request, Transfer
from enmctl.dfu.update import Job, update
from enmctl.models import Proof
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
        self.asked: list[tuple[float, str]] = []
        self.heard: list[tuple[float, str]] = []
        job = Job("the board", lambda _: variant.choice(new))
        self.model.run(self._noting(update(job, self.model.memory, Limits(), self.model.now)))
        self.model.clock.sleep(5.0)
        assert self.board.image() == new

    def _noting(self, transfer: Transfer[Proof]) -> Transfer[Proof]:
        result: Any = None
        error: LinkError | None = None
        while True:
            try:
                operation = transfer.send(result) if error is None else transfer.throw(error)
            except StopIteration as end:
                proof: Proof = end.value
                return proof
            result = error = None
            if isinstance(operation, Request):
                self.asked.append((self.model.now(), operation.data.hex()))
            try:
                result = yield operation
            except LinkError as raised:
                error = raised
            if isinstance(result, Notification):
                self.heard.append((self.model.now(), result.data.hex()))

    def times(self, start: str) -> list[float]:
        return [time for time, data in self.asked if data.startswith(start)]

    @property
    def receiving(self) -> float:
        return [time for time, data in self.heard if data == "100301"][-1] - self.times("03")[-1]


@pytest.mark.parametrize("packets", [1, 4, 6])
@pytest.mark.parametrize("interval", [0.0075, 0.05])
def test_legacy_dfu_fills_the_link_without_an_overflow(interval: float, packets: int) -> None:
    timed = Timed(V1, interval, packets)
    assert SIZE / timed.receiving >= 0.97 * packets * 20 / interval
    assert not [data for _, data in timed.heard if data == "100306"]


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
    requests = [data for time, data in timed.asked if time >= objects[0]]
    assert len(requests) == 2 * len(objects)
