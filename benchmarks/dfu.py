"""How fast the DFU protocols are in the model of a link: ``python -m benchmarks.dfu``.

What is promised of the protocols, on a virtual clock: legacy DFU on links of many speeds and to boards that are slower
than the link, secure DFU, the bytes of a partial flash, the CPU time, and two boards at once. Boards, links and times
are the simulator's (``enmctl.simulator.nordic``): nothing here was measured over the air.
"""

from __future__ import annotations

import statistics
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.figures import Figure, report
from benchmarks.recorded import Clock as Seconds
from benchmarks.recorded import Record
from enmctl.dfu.gatt import LEGACY_CONTROL, LEGACY_PACKET
from enmctl.dfu.limits import Limits
from enmctl.dfu.link import Memory, Notification, Open, Request, Subscribe, Transfer, Wait, Write
from enmctl.dfu.update import Choice, Job, update
from enmctl.firmware.hex import Family
from enmctl.firmware.microbit_regions import user_part
from enmctl.firmware.nordic import Protocol, Sizes
from enmctl.firmware.nordic_init import S110_V8, make_legacy, make_microbit
from enmctl.firmware.nordic_manifest import Role
from enmctl.firmware.payload import Payload
from enmctl.firmware.targets import Target
from enmctl.models import BoardMode, Proof
from enmctl.simulator.nordic import presets
from enmctl.simulator.nordic.board import NordicBoard
from enmctl.simulator.nordic.chips import MICROBIT_V1, MICROBIT_V2, Layout
from enmctl.simulator.nordic.clock import Clock
from enmctl.simulator.nordic.images import make_image
from enmctl.simulator.nordic.link_model import Timing
from enmctl.simulator.nordic.model import Model
from enmctl.simulator.nordic.traits import ProgramTraits, RuntimeTraits

LATENCY = 0.005
"""Seconds from the air to the program; what a board sends goes one connection event after it arose."""

SIZE = 128 * 1024
"""Bytes of the image for legacy DFU, about those of a program for the micro:bit V1."""

PACKET = 20
INTERVALS = (0.0075, 0.015, 0.03, 0.05)
PACKETS = (1, 4, 6)
SHARE_LEAST = 97.0
"""Per cent of what the link carries."""

ORIGINAL_RECEIPTS = 100

DRAINS = (6_700.0, 10_000.0, 13_300.0)
"""Bytes a second that a slow board's flash takes."""
RESTARTS_MOST = 4
DRAIN_LEAST = 75.0
"""Per cent of that."""

HEART = (124_960, 181_280)
"""Bytes of MakeCode 8's small heart on a micro:bit V1 and V2 as they go over the air."""
HEART_CODE = 5_152
"""Bytes of the user's part of it."""
PART_MOST = 1 / 20
PART_HEAD = 4
"""Bytes before the data in each packet of partial flashing."""

SECURE_SIZE = 45 * 4096
"""Bytes of the image for secure DFU: whole objects, about those of a program for the micro:bit V2."""
SECURE = (((0.0075, 2), 28_000.0), ((0.0075, 3), 28_000.0), ((0.015, 3), 24_000.0))
"""Links of interval and packets an event, and the least bytes a second there."""
SECURE_FLASH = 4096 / (0.0875 + 1024 * 41e-6)
"""Bytes a second that the flash of a micro:bit V2 allows: a page is erased, then written word by word."""
ROUND_TRIPS_MOST = 3

CPU_MOST = 0.05
"""Of a core, at the fastest link's 16 kB/s."""
CPU_ROUNDS = 5

TOGETHER_MOST = 1.2
TOGETHER_LINK = (0.03, 6)
"""What BlueZ asks for by itself, and what an nRF51 takes."""

GIVE_UP = 3600.0
"""Seconds after which a transfer in the model does not end."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of board, and how a program gets onto it."""

    make: Callable[[bytes], NordicBoard]
    layout: Layout
    target: Target
    family: Family
    protocol: Protocol

    def image(self, name: str, size: int, runtime: RuntimeTraits) -> bytes:
        """A program of so many bytes, with a user's part like the heart's."""
        return make_image(self.layout, ProgramTraits(name=name), runtime=runtime, size=size, code_size=HEART_CODE)

    def choice(self, image: bytes, *, part: bool) -> Choice:
        """What is sent to such a board."""
        secure = self.protocol is Protocol.SECURE
        payload = Payload(
            targets=(self.target,),
            protocol=self.protocol,
            role=Role.APPLICATION,
            address=self.layout.application,
            data=image,
            sizes=Sizes(application=len(image)),
            init=make_microbit(image) if secure else make_legacy(image, S110_V8),
        )
        return Choice((payload,), user_part(image, self.layout.application, self.family) if part else None)


V1 = Kind(lambda image: presets.microbit_v1(image=image), MICROBIT_V1, Target.MICROBIT_V1, Family.V1, Protocol.LEGACY)
V2 = Kind(lambda image: presets.microbit_v2(image=image), MICROBIT_V2, Target.MICROBIT_V2, Family.V2, Protocol.SECURE)


class Run:
    """One board of a kind, and an update of it that is written down.

    Args:
        kind: the board.
        link: interval and packets an event.
        size: bytes of the image.
        drain: bytes a second of the board's flash, None for what its chip has.
        part: whether the user's part alone may do.
        clock: a clock that others run on too.
    """

    def __init__(
        self,
        kind: Kind,
        link: tuple[float, int],
        size: int,
        *,
        drain: float | None = None,
        part: bool = False,
        clock: Clock | None = None,
    ) -> None:
        runtime = RuntimeTraits(partial=part)
        self.board = kind.make(kind.image("old", size, runtime))
        self.model = Model(self.board, Timing(*link, latency=LATENCY), clock=clock)
        self.model.air.power(on=True)
        self.model.clock.sleep(1.0)
        self.board.machine.flash.drain(drain)
        self.record = Record(self.model.now)
        self.image = kind.image("new", size, runtime)
        self._job = Job("the board", lambda _: kind.choice(self.image, part=part))

    @property
    def transfer(self) -> Transfer[Proof]:
        """The update, written down."""
        return self.record.of(update(self._job, self.model.memory, Limits(), self.record.now))

    def remake(self, clock: Seconds) -> Transfer[Proof]:
        """The update once more, with nothing known of a former one."""
        return update(self._job, Memory(), Limits(), clock)

    def play(self) -> Run:
        """Do it, and see that it is done."""
        self.model.run(self.transfer, limit=GIVE_UP)
        self.check()
        return self

    def check(self) -> None:
        """See that the board runs what it was sent."""
        self.model.clock.sleep(5.0)
        assert self.board.mode == "application", self.board.mode
        assert self.board.image() == self.image

    @property
    def received_in(self) -> float:
        """Seconds of the last pass of legacy DFU, from op 3 to the answer to the last packet."""
        done = self.record.done
        began = [each.began for each in done if each.asked("03")]
        ended = [each.ended for each in done if each.heard("10 03 01")]
        return ended[-1] - began[-1]

    @property
    def started(self) -> float:
        """When the board was first told to erase its program."""
        return next(each.began for each in self.record.done if each.asked("01 04"))

    @property
    def whole(self) -> float:
        """Seconds from then until the board was heard again."""
        return self.record.done[-1].ended - self.started

    @property
    def erasing(self) -> float:
        """Seconds that its flash takes to erase what the image needs."""
        return -(-len(self.image) // self.board.machine.layout.chip.page) * self.board.machine.flash.erase_seconds


def legacy() -> list[Figure]:
    """The speed on links of many kinds, to a board that is faster than all of them."""
    figures, dropped = [], 0
    for interval in INTERVALS:
        for packets in PACKETS:
            run = Run(V1, (interval, packets), SIZE).play()
            dropped += sum(each.heard("10 03 06") for each in run.record.done)
            most = packets * PACKET / interval
            original = SIZE / original_seconds(interval, packets) / most * 100
            figures.append(
                Figure(
                    f"legacy, {interval * 1000:g} ms x {packets}: share of {most / 1000:.3g} kB/s",
                    SIZE / run.received_in / most * 100,
                    "%",
                    SHARE_LEAST,
                    f"limit; the original {original:.1f} %",
                    None,
                    1.0,
                )
            )
    figures.append(Figure("legacy, packets dropped in all of these", dropped, "", len(figures), "transfers", 0.0))
    return figures


def original_seconds(interval: float, packets: int) -> float:
    """Seconds that edge-node-manager's way would take: it waits for the receipt of every 100th packet."""
    board = presets.microbit_v1(image=b"")
    model = Model(board, Timing(interval, packets, latency=LATENCY))
    model.air.power(on=True)
    data = V1.image("new", SIZE, RuntimeTraits())
    record = Record(model.now)
    model.run(record.of(_original(data)), limit=GIVE_UP)
    began = next(each.began for each in record.done if each.asked("03"))
    return record.done[-1].ended - began


def _original(data: bytes) -> Transfer[None]:
    yield Open(BoardMode.BOOTLOADER, 10.0)
    yield Subscribe(LEGACY_CONTROL)
    yield Request(LEGACY_CONTROL, b"\x01\x04")
    yield Write(LEGACY_PACKET, struct.pack("<III", 0, 0, len(data)))
    yield Wait(90.0)
    yield Request(LEGACY_CONTROL, struct.pack("<BH", 8, ORIGINAL_RECEIPTS))
    yield Request(LEGACY_CONTROL, b"\x03")
    for number, at in enumerate(range(0, len(data), PACKET), 1):
        yield Write(LEGACY_PACKET, data[at : at + PACKET])
        if number % ORIGINAL_RECEIPTS == 0 or at + PACKET >= len(data):
            note: Notification | None = yield Wait(10.0)
            assert note is not None


def slow_boards() -> list[Figure]:
    """What becomes of a transfer to a board whose flash is slower than the link."""
    figures = []
    for drain in DRAINS:
        run = Run(V1, (0.0075, 6), SIZE, drain=drain).play()
        name = f"legacy, {drain / 1000:g} kB/s of flash"
        restarts = sum(each.asked("06") for each in run.record.done)
        share = SIZE / run.received_in / drain * 100
        least = SIZE / drain + run.erasing
        figures += [
            Figure(f"{name}: restarts", restarts, "", RESTARTS_MOST),
            Figure(f"{name}: share in the last pass", share, "%", DRAIN_LEAST, "limit", None, 1.0),
            Figure(f"{name}: erase to reboot", run.whole, "s", least, "erased and written once", None),
        ]
    return figures


def secure() -> list[Figure]:
    """The speed of secure DFU, from the first object of the image until all of it is there and its CRC is right."""
    figures = []
    for (interval, packets), least in SECURE:
        run = Run(V2, (interval, packets), SECURE_SIZE).play()
        done = run.record.done
        first = next(at for at, each in enumerate(done) if each.asked("01 02"))
        last = max(at for at, each in enumerate(done) if each.asked("04"))
        speed = SECURE_SIZE / (done[last].began - done[first].began)
        objects = sum(each.asked("01 02") for each in done)
        trips = sum(each.asked("01") or each.asked("03") or each.asked("04") for each in done[first : last + 1])
        trips += sum(each.heard("60 03") for each in done[first : last + 1])
        name = f"secure, {interval * 1000:g} ms x {packets}"
        said = f"limit; the flash allows {SECURE_FLASH / 1000:.1f}"
        figures += [
            Figure(name, speed / 1000, "kB/s", least / 1000, said, None, 1.0),
            Figure(f"{name}: round trips an object", trips / objects, "", ROUND_TRIPS_MOST),
        ]
    return figures


def parts() -> list[Figure]:
    """What a small MakeCode program costs where its user's part alone is sent."""
    figures = []
    for name, kind, size in (("V1", V1, HEART[0]), ("V2", V2, HEART[1])):
        part = Run(kind, TOGETHER_LINK, size, part=True).play()
        whole = Run(kind, TOGETHER_LINK, size).play()
        sent = sum(len(each.wrote("01")[PART_HEAD:]) for each in part.record.done)
        written, all_written = part.record.bytes_written, whole.record.bytes_written
        said = f"a full flash; with the heads of packets {written / all_written:.3f}"
        figures.append(Figure(f"partial flash of a small program, {name}", sent, "bytes", size, said, PART_MOST))
    return figures


def cpu() -> list[Figure]:
    """The CPU time of protocol and driver, a second of the fastest link."""
    run = Run(V1, (0.0075, 6), SIZE).play()
    seconds = statistics.median(run.record.cpu_seconds(run.remake) for _ in range(CPU_ROUNDS))
    speed = SIZE / run.received_in / 1000
    name = f"CPU time of a second at {speed:.1f} kB/s"
    return [Figure(name, seconds / run.received_in * 1000, "ms", 1000, "a core", CPU_MOST)]


def together() -> list[Figure]:
    """Two boards at once, each with a link of its own."""
    alone = Run(V1, TOGETHER_LINK, SIZE).play().whole
    clock = Clock()
    runs = [Run(V1, TOGETHER_LINK, SIZE, clock=clock) for _ in range(2)]
    for run in runs:
        run.model.start(run.transfer)
    clock.run(lambda: all(run.model.ended for run in runs), limit=GIVE_UP)
    for run in runs:
        run.check()
    ended = max(run.record.done[-1].ended for run in runs)
    began = min(run.started for run in runs)
    return [Figure("two boards at once", ended - began, "s", alone, "one", TOGETHER_MOST)]


def measure() -> list[Figure]:
    """All figures."""
    return [*legacy(), *slow_boards(), *secure(), *parts(), *cpu(), *together()]


if __name__ == "__main__":
    sys.exit(report(measure()))
