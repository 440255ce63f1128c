"""Random schedules of faults over whole updates in the model of a link, and whether every board comes home.

::

    python -m tests.logic.dfu.schedules --count 20000 --full 50 --seed 1
    python -m tests.logic.dfu.schedules --count 1 --seed 4711            one of them again, told step by step

A schedule is one board with one of the bootloaders, one to three faults, and one to three tries to bring an image onto
it; now and then another image is wanted meanwhile. After each try the board must run an image that it was sent whole,
or its old one, or wait in its bootloader; a try that says "done" must be right; and the next try without a fault must
bring the board home.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import lru_cache
from random import Random
from typing import Final

from enmctl.dfu.legacy import PACKET, RECEIPT_EVERY
from enmctl.dfu.limits import Limits
from enmctl.dfu.update import Choice, Job, update
from enmctl.errors import EnmError
from enmctl.firmware.hex import Family
from enmctl.firmware.microbit_regions import user_part
from enmctl.firmware.nordic import Protocol, Sizes
from enmctl.firmware.nordic_init import S110_V8, make_legacy, make_microbit
from enmctl.firmware.nordic_manifest import Role
from enmctl.firmware.payload import Payload
from enmctl.firmware.targets import Target
from enmctl.models import BoardMode, Proof
from enmctl.simulator.nordic import presets
from enmctl.simulator.nordic.board import NordicBoard, Return
from enmctl.simulator.nordic.chips import MICROBIT_V1, MICROBIT_V2, NRF52_S132, NRF51822DK, Layout
from enmctl.simulator.nordic.clock import EndlessError
from enmctl.simulator.nordic.faults import FaultKind, cells, draw
from enmctl.simulator.nordic.images import make_image
from enmctl.simulator.nordic.interference import Interfering
from enmctl.simulator.nordic.link_model import Timing
from enmctl.simulator.nordic.model import HostKilledError, Model
from enmctl.simulator.nordic.packages import secure_init
from enmctl.simulator.nordic.steps import Point, Way
from enmctl.simulator.nordic.traits import ProgramTraits, RuntimeTraits
from tests.logic.dfu.plants import PLANTS

PLAIN: Final = RuntimeTraits()
PARTIAL: Final = RuntimeTraits(partial=True)
LIMITS: Final = Limits()
TRIES_MOST: Final = 3
SETTLED: Final = 5.0
"""Seconds in which a board that restarts is at work again."""

LEFT_ALONE: Final = (0.5, 5.0, 60.0, 130.0)
"""Seconds between two tries; bootloaders give up after 120."""

NO_MORE_FAULTS: Final = 45.0
"""Seconds after which whoever stole the board has given it back."""

SHORT: Final = (2048, 10 * 1024)
SIZES_OF_EACH: Final = 24
IMAGES: Final = 6
PART_MOST: Final = 8192
"""Bytes of the user's part of an image; small programs have some 5 KiB."""
BETWEEN_RECEIPTS: Final = RECEIPT_EVERY * PACKET
"""Bytes between two receipts: a quarter of the images end just where one would be due."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A kind of board, and the way on which a program gets there."""

    name: str
    way: Way
    target: Target
    layout: Layout
    make: Callable[[bytes], NordicBoard]
    runtime: RuntimeTraits = PLAIN
    family: Family | None = None

    @property
    def least(self) -> int:
        """Bytes of the smallest image."""
        return 4 * self.layout.chip.page if self.runtime.partial else SHORT[0]

    def payload(self, image: bytes) -> Payload:
        """What is sent to such a board."""
        secure = self.layout in (MICROBIT_V2, NRF52_S132)
        if self.layout is NRF52_S132:
            init = secure_init(image, hardware=52, softdevices=(0xA8,), version=1, signed=True)
        elif secure and self.way is Way.SECURE and image[-1] % 2:
            # As nrfutil makes it; after such a one the bootloader keeps the old program until the next is there.
            init = secure_init(image, hardware=52, softdevices=(0xCC,), version=1, signed=False)
        else:
            init = make_microbit(image) if secure else make_legacy(image, S110_V8 if self.family else 0xFFFE)
        return Payload(
            targets=(self.target,),
            protocol=Protocol.SECURE if secure else Protocol.LEGACY,
            role=Role.APPLICATION,
            address=self.layout.application,
            data=image,
            sizes=Sizes(application=len(image)),
            init=init,
        )

    def choice(self, image: bytes) -> Choice:
        """The same, with the part of it that may do."""
        part = user_part(image, self.layout.application, self.family) if self.runtime.partial and self.family else None
        return Choice((self.payload(image),), part)


VARIANTS: Final = (
    Variant(
        "micro:bit V1",
        Way.LEGACY,
        Target.MICROBIT_V1,
        MICROBIT_V1,
        lambda image: presets.microbit_v1(image=image),
        family=Family.V1,
    ),
    Variant("two banks", Way.LEGACY, Target.NRF51822DK, NRF51822DK, lambda image: presets.nrf51822dk(image=image)),
    Variant("one bank", Way.LEGACY, Target.NRF51822DK, NRF51822DK, lambda image: presets.stock_legacy(image=image)),
    Variant(
        "micro:bit V2",
        Way.SECURE,
        Target.MICROBIT_V2,
        MICROBIT_V2,
        lambda image: presets.microbit_v2(image=image),
        family=Family.V2,
    ),
    Variant("stock", Way.SECURE, Target.NRF52, NRF52_S132, lambda image: presets.stock_secure(image=image)),
    Variant(
        "micro:bit V1, a part",
        Way.PARTIAL,
        Target.MICROBIT_V1,
        MICROBIT_V1,
        lambda image: presets.microbit_v1(image=image),
        PARTIAL,
        Family.V1,
    ),
    Variant(
        "micro:bit V2, a part",
        Way.PARTIAL,
        Target.MICROBIT_V2,
        MICROBIT_V2,
        lambda image: presets.microbit_v2(image=image),
        PARTIAL,
        Family.V2,
    ),
)

Cell = tuple[Way, FaultKind, Point]


@dataclass(slots=True)
class Report:
    """What came of a schedule."""

    seed: int
    variant: str
    outcomes: list[str] = field(default_factory=list)
    hits: list[Cell] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    story: list[str] = field(default_factory=list)


def image_of(variant: Variant, size: int, number: int) -> bytes:
    """One of a few images of a size; the first ``IMAGES`` are built on the same runtime, the next on another."""
    return _image(variant.layout, variant.runtime, size, number)


@lru_cache(maxsize=2048)
def _image(layout: Layout, runtime: RuntimeTraits, size: int, number: int) -> bytes:
    code = min(size // 2, PART_MOST)
    on = number // IMAGES
    program = ProgramTraits(name="4711")
    return make_image(layout, program, runtime=runtime, size=size, code_size=code, seed=number, runtime_seed=on)


class Schedule:
    """One board, its faults and the tries at it, all drawn from a seed."""

    def __init__(self, seed: int, *, full: bool = False) -> None:
        chance = self._chance = Random(seed)
        self._variant = variant = chance.choice(VARIANTS)
        self._report = Report(seed, variant.name)
        self._size = self._draw_size(full=full)
        self._old, *self._wanted = (image_of(variant, self._size, n) for n in chance.sample(range(IMAGES), 3))
        self._on_another_runtime = b""
        if variant.way is Way.PARTIAL and chance.random() < 1 / 4:
            self._on_another_runtime = self._wanted[1] = image_of(variant, self._size, IMAGES)
        self._board = variant.make(self._old)
        timing = Timing(
            interval=chance.choice((0.0075, 0.015, 0.03, 0.05)),
            packets=chance.choice((1, 4, 6, 6)),
            mtu=chance.choice((247, 247, 247, 23)),
        )
        self._model = Model(self._board, timing)
        if variant.way is Way.LEGACY and chance.random() < 1 / 4:
            self._board.machine.flash.drain(chance.uniform(5_000, 20_000))
        faults = [draw(chance, variant.way, self._size) for _ in range(chance.choice((1, 1, 2, 3)))]
        self._faults = Interfering(self._model, faults)
        self._report.story.append(f"{variant.name}, {self._size} bytes, {timing}, {faults}")

    def run(self) -> Report:
        """Play it; what must not be is among the problems."""
        self._model.air.power(on=True)
        self._model.clock.sleep(SETTLED)
        try:
            self._play()
        except EndlessError as error:
            self._report.problems.append(f"endless: {error}")
        way = self._variant.way
        self._report.hits = [(way, hit.fault.kind, hit.point) for hit in self._faults.hits]
        return self._report

    def _play(self) -> None:
        wanted = self._wanted[0]
        for _ in range(self._chance.choice((1, 1, 2, TRIES_MOST))):
            if self._try(wanted) == "done" and self._chance.random() < 1 / 2:
                break
            self._model.clock.sleep(self._chance.choice(LEFT_ALONE))
            if self._chance.random() < 1 / 3:
                wanted = self._wanted[1]
        self._end_faults()
        if self._try(wanted) != "done":
            self._report.problems.append("not home after a try without a fault")

    def _draw_size(self, *, full: bool) -> int:
        variant, chance = self._variant, self._chance
        most = variant.layout.room if variant.layout.data_end >= variant.layout.bootloader else 0
        if full:
            room = (most or variant.layout.data_end - variant.layout.application) // (
                2 if variant.name == "two banks" else 1
            )
            return room // 1024 * 1024 - 1024
        least = max(SHORT[0], variant.least)
        step = max(4, (SHORT[1] - SHORT[0]) // SIZES_OF_EACH // 4 * 4)
        size = least + chance.randrange(SIZES_OF_EACH) * step
        return size if chance.random() < 3 / 4 else -(-size // BETWEEN_RECEIPTS) * BETWEEN_RECEIPTS

    def _try(self, image: bytes) -> str:
        """One update, as the driver does it; brings "done", "killed" or the reason of an error."""
        model, report = self._model, self._report
        self._faults.forget_seen()
        mode = BoardMode.BOOTLOADER if self._board.mode == "bootloader" else BoardMode.APPLICATION
        job = Job("the board", lambda _: self._variant.choice(image), mode)
        proof: Proof | None = None
        try:
            proof = model.run(update(job, model.memory, LIMITS, model.now))
        except HostKilledError:
            model.memory = replace(model.kept)
            outcome = "killed"
        except EnmError as error:
            outcome = error.reason
            report.story.append(f"{model.now():.1f} {error}")
        else:
            outcome = "done"
            report.story.append(f"{model.now():.1f} done: {proof}")
        model.kept = replace(model.memory)
        report.outcomes.append(outcome)
        report.story += [f"  {step.note}" for step in model.steps if step.note]
        model.steps.clear()
        model.clock.sleep(SETTLED)
        self._judge(image, outcome, proof)
        return outcome

    def _lost_power_at_the_turn(self) -> bool:
        """Whether a board with two banks lost its power between letting go and writing down which bank to start.

        Its return proves nothing then, and is told as no more than it is.
        """
        at_the_turn = (Point.ACTIVATE, Point.RETURN)
        return any(hit.fault.kind is FaultKind.POWER_CUT and hit.point in at_the_turn for hit in self._faults.hits)

    def _judge(self, image: bytes, outcome: str, proof: Proof | None) -> None:
        """Look at what the board is left with."""
        board, report = self._board, self._report
        is_home = board.mode == "application" and board.image() == image
        if outcome == "done" and not is_home and proof is Proof.RETURN_ALONE and self._lost_power_at_the_turn():
            report.outcomes.append("returned, and power failed just when it chose its bank")
        elif outcome == "done" and not is_home:
            report.problems.append(f"a false done: the board is in its mode {board.mode}")
        if (
            board.mode == "application"
            and not self._is_unfinished()
            and board.image()
            not in (
                self._old,
                *self._wanted,
            )
        ):
            report.problems.append("a splice runs")
        if board.mode == "dead" and not board.stays_away:
            report.problems.append("a splice was started, and does not run")
        if (
            Point.BLOCK in self._faults.seen
            and self._faults.seen & {Point.START, Point.CREATE_DATA}
            and image != self._on_another_runtime
        ):
            report.problems.append("a partial flash was begun and given up for a full one")

    def _is_unfinished(self) -> bool:
        program = self._board.program
        return program is not None and bool(program.describe().get("flashIncomplete"))

    def _end_faults(self) -> None:
        """Let nothing go wrong any more, and switch a board on that stays away."""
        model = self._model
        model.interference = model.change_opened = None
        self._board.come_back(Return())
        model.clock.sleep(NO_MORE_FAULTS)
        if self._board.mode in ("off", "dead"):
            model.air.power(on=False)
            model.air.power(on=True)
            model.clock.sleep(SETTLED)


def run_all(seeds: Sequence[int], *, full: bool = False, plant: str = "") -> list[Report]:
    """Play the schedules of these seeds, with a fault planted into the code or without."""
    with PLANTS[plant]():
        return [Schedule(seed, full=full).run() for seed in seeds]


def _shares(seeds: Sequence[int], workers: int) -> Iterator[Sequence[int]]:
    size = max(1, min(250, -(-len(seeds) // workers)))
    for start in range(0, len(seeds), size):
        yield seeds[start : start + size]


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000, help="schedules with images of 2 to 10 KiB")
    parser.add_argument("--full", type=int, default=0, help="further ones with images of full size")
    parser.add_argument("--seed", type=int, default=1, help="the seed of the first; the others follow it")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument(
        "--plant", choices=sorted(name for name in PLANTS if name), default="", help="a fault in the code"
    )
    asked = parser.parse_args()
    began = time.monotonic()
    reports: list[Report] = []
    with ProcessPoolExecutor(asked.workers) as pool:
        runs = [
            pool.submit(run_all, share, full=full, plant=asked.plant)
            for count, full in ((asked.count, False), (asked.full, True))
            for share in _shares(range(asked.seed, asked.seed + count), asked.workers)
        ]
        for run in runs:
            reports += run.result()
    _tell(reports, seed=asked.seed, seconds=time.monotonic() - began, story=asked.count == 1)
    return _verdict(reports, whole=asked.count >= 20_000)


def _tell(reports: Sequence[Report], *, seed: int, seconds: float, story: bool) -> None:
    print(f"{len(reports)} schedules from seed {seed} in {seconds:.0f} s")
    for name, count in Counter(outcome for report in reports for outcome in report.outcomes).most_common():
        print(f"  {count:6} {name}")
    hits = Counter(cell for report in reports for cell in report.hits)
    for way in Way:
        points = list(dict.fromkeys(point for _, point in cells(way)))
        print(f"\n{way:19}" + "".join(f"{point.value[:7]:>8}" for point in points))
        for kind in FaultKind:
            if any((kind, point) in cells(way) for point in points):
                row = (hits[way, kind, point] if (kind, point) in cells(way) else None for point in points)
                print(f"{kind:19}" + "".join(f"{'' if count is None else count:>8}" for count in row))
    for report in reports:
        if report.problems or story:
            print(f"\nseed {report.seed}, {report.variant}: {report.problems or 'well'}")
            print("\n".join(f"  {line}" for line in report.story))


def _verdict(reports: Sequence[Report], *, whole: bool) -> int:
    bad = sum(bool(report.problems) for report in reports)
    hits = {cell for report in reports for cell in report.hits}
    missing = [(way, *cell) for way in Way for cell in cells(way) if (way, *cell) not in hits] if whole else []
    print(f"\n{bad} of {len(reports)} schedules went wrong; {len(missing)} cells were never hit: {missing[:10]}")
    return 1 if bad or missing else 0


if __name__ == "__main__":
    sys.exit(main())
