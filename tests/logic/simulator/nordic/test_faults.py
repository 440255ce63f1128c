"""Faults in the model of a link: each comes once, at the step that was asked for, and does what it says."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from random import Random

import pytest

from enmctl.dfu.link import (
    GattError,
    LinkError,
    LinkLostError,
    LinkTimeoutError,
    Lost,
    Notification,
    Open,
    Opened,
    Request,
    Subscribe,
    Transfer,
    Wait,
    Write,
)
from enmctl.firmware.nordic_init import make_legacy, make_microbit
from enmctl.models import BoardMode
from enmctl.simulator.nordic import presets
from enmctl.simulator.nordic.board import NordicBoard
from enmctl.simulator.nordic.faults import (
    OF_NOTIFICATIONS,
    OF_RECEIPTS,
    OF_REPLIES,
    OF_RETURNS,
    OF_THE_FLASH,
    WHEREVER,
    Fault,
    FaultKind,
    cells,
    draw,
)
from enmctl.simulator.nordic.images import make_image
from enmctl.simulator.nordic.interference import Interfering
from enmctl.simulator.nordic.link_model import Timing
from enmctl.simulator.nordic.model import HostKilledError, Model
from enmctl.simulator.nordic.steps import POINTS, Point, Way
from enmctl.simulator.nordic.traits import MAGIC, ProgramTraits
from enmctl.simulator.nordic.uuids import (
    BUTTONLESS,
    LEGACY_CONTROL,
    LEGACY_PACKET,
    LEGACY_VERSION,
    MICROBIT_DFU_CONTROL,
    PARTIAL_FLASHING,
)
from tests.logic.simulator.nordic import transfers
from tests.logic.simulator.nordic.transfers import SurpriseError

NEW = ProgramTraits(name="new")
TIMING = Timing(interval=0.0075, packets=4, supervision=1.0)
BOOTLOADER, APPLICATION = BoardMode.BOOTLOADER, BoardMode.APPLICATION
REPORT = Request(LEGACY_CONTROL, b"\x07")


def image_for(board: NordicBoard, *, size: int = 16_384) -> bytes:
    return make_image(board.machine.layout, NEW, runtime=presets.MAKECODE, size=size)


def legacy_way(board: NordicBoard) -> Transfer[None]:
    """Jump, and the bootloader's protocol with everything in it that there is a step for."""
    image = image_for(board)
    yield from transfers.jump(MICROBIT_DFU_CONTROL, b"\x01")
    yield Open(BOOTLOADER, 30.0)
    yield Subscribe(LEGACY_CONTROL)
    yield Request(LEGACY_CONTROL, b"\x06")
    yield Lost(10.0)
    yield from transfers.jump(MICROBIT_DFU_CONTROL, b"\x01")
    yield from transfers.legacy(image, init=make_legacy(image, 0x64), report=True)


def secure_way(board: NordicBoard) -> Transfer[None]:
    image = image_for(board)
    yield from transfers.jump(BUTTONLESS, b"\x01", answer="20 01 01")
    yield from transfers.secure(image, make_microbit(image), receipts=8)


def partial_way(board: NordicBoard) -> Transfer[None]:
    image = image_for(board, size=8192)
    start, base = image.index(MAGIC), board.machine.layout.application
    yield from transfers.partial([(base + at, image[at : at + 64]) for at in range(start, len(image), 64)])


WAYS: dict[Way, tuple[Callable[[], NordicBoard], Callable[[NordicBoard], Transfer[None]]]] = {
    Way.LEGACY: (presets.microbit_v1, legacy_way),
    Way.SECURE: (presets.microbit_v2, secure_way),
    Way.PARTIAL: (presets.microbit_v1, partial_way),
}


def prepared(way: Way, *faults: Fault) -> tuple[Model, Interfering, NordicBoard]:
    board = WAYS[way][0]()
    model = Model(board, TIMING)
    interfering = Interfering(model, faults)
    model.air.power(on=True)
    model.clock.sleep(1.0)
    return model, interfering, board


def run(way: Way, *faults: Fault) -> tuple[Exception | None, Interfering, NordicBoard]:
    """Run the plainest transfer into faults, and see how it ends."""
    model, interfering, board = prepared(way, *faults)
    failed: Exception | None = None
    try:
        model.run(WAYS[way][1](board))
    except (LinkError, SurpriseError, HostKilledError) as error:
        failed = error
    model.clock.sleep(200.0)
    return failed, interfering, board


@pytest.mark.parametrize("way", Way)
def test_without_faults_every_step_is_passed_and_the_new_program_runs(way: Way) -> None:
    model, interfering, board = prepared(way)
    model.run(WAYS[way][1](board))
    model.clock.sleep(3.0)
    assert board.image() == image_for(board, size=8192 if way is Way.PARTIAL else 16_384)
    assert interfering.hits == []
    assert interfering.seen == set(POINTS[way])


@pytest.mark.parametrize("way", Way)
def test_every_fault_comes_at_every_step_where_it_can(way: Way) -> None:
    missing = []
    for kind, point in cells(way):
        _, interfering, _ = run(way, Fault(kind, at=point, seconds=0.2 if kind not in WHEREVER else 0.0))
        if [(hit.fault.kind, hit.point) for hit in interfering.hits] != [(kind, point)]:
            missing.append((kind.value, point.value))
    assert missing == []


def test_every_kind_of_fault_has_a_place() -> None:
    assert {kind for way in Way for kind, _ in cells(way)} == set(FaultKind)
    groups = [WHEREVER, OF_NOTIFICATIONS, OF_RECEIPTS, OF_REPLIES, OF_RETURNS, OF_THE_FLASH]
    assert sum(map(len, groups)) == len(frozenset().union(*groups))


def test_drawn_faults_are_the_same_for_the_same_seed_and_reach_every_cell() -> None:
    for way in Way:
        chance = Random(1)
        drawn = [draw(chance, way, 4096) for _ in range(40 * len(cells(way)))]
        again = Random(1)
        assert drawn == [draw(again, way, 4096) for _ in range(len(drawn))]
        reached = {(fault.kind, fault.at) for fault in drawn if fault.at is not None}
        reached |= {
            (fault.kind, Point.DATA if way is not Way.PARTIAL else Point.BLOCK) for fault in drawn if fault.byte
        }
        assert reached == set(cells(way))


@pytest.mark.parametrize("byte", [1, 5000, 16_384])
def test_a_link_lost_at_a_byte_leaves_exactly_what_came_by_then(byte: int) -> None:
    for before, taken in ((False, min(16_384, (byte + 19) // 20 * 20)), (True, (byte - 1) // 20 * 20)):
        model, interfering, board = prepared(Way.LEGACY, Fault(FaultKind.LINK_LOST, byte=byte, before=before))
        with pytest.raises(LinkLostError):
            model.run(legacy_way(board))
        assert board.describe()["program"]["received"] == taken  # type: ignore[index]
        assert interfering.hits[0].point in (Point.DATA, Point.RECEIVED)


def test_what_comes_later_is_written_down_for_the_step_where_it_came() -> None:
    _, interfering, _ = run(Way.LEGACY, Fault(FaultKind.LINK_LOST, at=Point.START, seconds=0.1))
    assert [hit.point for hit in interfering.hits] == [Point.ERASE]
    failed, interfering, _ = run(Way.LEGACY, Fault(FaultKind.HOST_KILLED, at=Point.ACTIVATE, seconds=60.0))
    assert (failed, interfering.hits) == (None, [])


def test_a_power_cut_in_the_erase_leaves_the_bootloader_and_a_host_that_is_killed_leaves_the_board_alone() -> None:
    failed, interfering, board = run(Way.LEGACY, Fault(FaultKind.POWER_CUT, at=Point.ERASE, seconds=0.1))
    assert isinstance(failed, LinkLostError)
    assert (interfering.hits[0].point, board.mode) == (Point.ERASE, "bootloader")
    failed, interfering, board = run(Way.LEGACY, Fault(FaultKind.HOST_KILLED, at=Point.DATA, count=100))
    assert isinstance(failed, HostKilledError)
    assert board.mode == "bootloader"


def test_a_stolen_board_is_somebody_elses_for_a_while() -> None:
    model, interfering, board = prepared(Way.LEGACY, Fault(FaultKind.STOLEN, at=Point.CONNECT))
    with pytest.raises(LinkError):
        model.run(legacy_way(board))
    model.clock.sleep(1.0)
    assert board.machine.peer == "C0:FF:EE:00:00:01"
    assert isinstance(model.run(transfers.ask(Open(BOOTLOADER, 30.0)))[0], Opened)
    assert model.now() - interfering.hits[0].at > 9.0


def in_the_bootloader(*faults: Fault) -> Model:
    board = presets.microbit_v1(image=b"")
    model = Model(board, TIMING)
    Interfering(model, faults)
    model.air.power(on=True)
    return model


def reported(*faults: Fault, wait: float = 1.0) -> list[object]:
    """Ask twice what was received, and see what comes."""
    model = in_the_bootloader(*faults)
    results = model.run(
        transfers.ask(Open(BOOTLOADER, 9.0), Subscribe(LEGACY_CONTROL), REPORT, *[Wait(wait)] * 3, REPORT, Wait(wait))
    )
    return [said.data.hex(" ") if isinstance(said, Notification) else said for said in (*results[3:6], results[7])]


NOUGHT = "10 07 01 00 00 00 00"


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault(FaultKind.NOTIFICATION_LOST, at=Point.REPORT), [None, None, None, NOUGHT]),
        (Fault(FaultKind.NOTIFICATION_TWICE, at=Point.REPORT), [NOUGHT, NOUGHT, None, NOUGHT]),
        (Fault(FaultKind.NOTIFICATION_CUT, notification=1), ["10 07", None, None, NOUGHT]),
        (Fault(FaultKind.ANOTHER_ANSWER, at=Point.REPORT), ["10 08 01", NOUGHT, None, NOUGHT]),
        (Fault(FaultKind.NOTIFICATION_LATE, at=Point.REPORT, seconds=1.5), [None, NOUGHT, None, NOUGHT]),
        (Fault(FaultKind.NOTIFICATION_LOST, at=Point.REPORT, count=2), [NOUGHT, None, None, None]),
        (Fault(FaultKind.REPLY_ERROR, at=Point.RESET), [NOUGHT, None, None, NOUGHT]),
    ],
    ids=lambda value: value.kind.value if isinstance(value, Fault) else "",
)
def test_a_notification_is_lost_late_doubled_cut_or_in_company(fault: Fault, said: list[object]) -> None:
    assert reported(fault) == said


def test_nothing_overtakes_what_is_late() -> None:
    assert reported(Fault(FaultKind.NOTIFICATION_LATE, at=Point.REPORT, seconds=5.0)) == [None, None, None, NOUGHT]


def test_a_reply_is_lost_or_an_error_though_the_board_did_what_it_was_told() -> None:
    for kind, seen in ((FaultKind.REPLY_ERROR, GattError), (FaultKind.REPLY_LOST, LinkLostError)):
        model = in_the_bootloader(Fault(kind, at=Point.RESET))
        results = model.run(
            transfers.ask(Open(BOOTLOADER, 9.0), Subscribe(LEGACY_CONTROL), Request(LEGACY_CONTROL, b"\x06"), Lost(5.0))
        )
        assert isinstance(results[2], seen)
        assert results[3] is True
    model = in_the_bootloader(Fault(FaultKind.REPLY_LOST, at=Point.REPORT))
    results = model.run(transfers.ask(Open(BOOTLOADER, 9.0), Subscribe(LEGACY_CONTROL), REPORT))
    assert isinstance(results[2], LinkTimeoutError)


def test_receipts_are_lost_doubled_or_tell_too_little_and_the_last_answer_has_one_beside_it() -> None:
    rows = {
        FaultKind.RECEIPT_LOST: ["11 50 00 00 00", "10 03 01"],
        FaultKind.RECEIPT_TWICE: ["11 28 00 00 00"] * 2 + ["11 50 00 00 00", "10 03 01"],
        FaultKind.RECEIPT_SMALLER: ["11 14 00 00 00", "11 50 00 00 00", "10 03 01"],
        FaultKind.LAST_WITH_RECEIPT: ["11 28 00 00 00", "11 50 00 00 00", "11 64 00 00 00", "10 03 01"],
    }
    for kind, said in rows.items():
        at = Point.RECEIVED if kind is FaultKind.LAST_WITH_RECEIPT else Point.DATA
        model = in_the_bootloader(Fault(kind, at=at, amount=20))
        results = model.run(
            transfers.ask(
                Open(BOOTLOADER, 9.0),
                Subscribe(LEGACY_CONTROL),
                Request(LEGACY_CONTROL, b"\x01\x04"),
                Write(LEGACY_PACKET, bytes(8) + (100).to_bytes(4, "little")),
                Wait(5.0),
                Request(LEGACY_CONTROL, b"\x08\x02\x00"),
                Request(LEGACY_CONTROL, b"\x03"),
                *[Write(LEGACY_PACKET, bytes(20))] * 5,
                *[Wait(1.0)] * 6,
            )
        )
        assert [result.data.hex(" ") for result in results[12:] if result is not None] == said


def test_a_busy_flash_overflows_the_pool_and_each_packet_too_many_is_an_error() -> None:
    failed, interfering, _ = run(Way.LEGACY, Fault(FaultKind.FLASH_BUSY, at=Point.DATA, seconds=0.5))
    assert isinstance(failed, SurpriseError)
    assert "10 03 06" in str(failed)
    assert interfering.hits[0].point is Point.DATA


def test_a_flash_failure_ends_the_connection() -> None:
    failed, _, board = run(Way.LEGACY, Fault(FaultKind.FLASH_FAILURE, at=Point.DATA, count=50))
    assert isinstance(failed, LinkLostError)
    assert board.mode == "bootloader"


def test_a_board_comes_back_as_the_fault_wants_it() -> None:
    rows = {
        FaultKind.NEXT_ADDRESS: ("E5:1D:00:00:00:02", "DfuTarg"),
        FaultKind.RENAMED: ("E5:1D:00:00:00:01", "Dfu00042"),
        FaultKind.LATE_RETURN: None,
        FaultKind.NO_RETURN: None,
    }
    for kind, said in rows.items():
        model, _, board = prepared(Way.LEGACY, Fault(kind, at=Point.ENTER, seconds=20.0))
        model.run(transfers.jump(MICROBIT_DFU_CONTROL, b"\x01"))
        model.clock.sleep(5.0)
        advertisement = board.advertisement
        assert (None if advertisement is None else (advertisement.address, advertisement.name)) == said
        model.clock.sleep(20.0)
        assert (board.mode == "bootloader") is (kind is not FaultKind.NO_RETURN)


def test_stale_services_are_those_of_the_other_mode_and_only_once() -> None:
    model, interfering, _ = prepared(Way.LEGACY, Fault(FaultKind.STALE_SERVICES, at=Point.CONNECT))
    first, *_ = model.run(transfers.ask(Open(APPLICATION, 9.0), Request(MICROBIT_DFU_CONTROL, b"\x01"), Lost(9.0)))
    stale, fresh = model.run(transfers.ask(Open(BOOTLOADER, 9.0), Open(BOOTLOADER, 9.0)))
    assert stale.characteristics == first.characteristics
    assert PARTIAL_FLASHING in stale.characteristics
    assert LEGACY_VERSION in fresh.characteristics
    assert [hit.point for hit in interfering.hits] == [Point.CONNECT]


@pytest.mark.parametrize("way", [Way.LEGACY, Way.SECURE])
def test_after_any_one_fault_a_plain_transfer_on_a_board_fresh_from_power_brings_it_home(way: Way) -> None:
    chance = Random(7)
    for _ in range(60):
        fault = draw(chance, way, 16_384)
        model, _, board = prepared(way, fault)
        with contextlib.suppress(LinkError, SurpriseError, HostKilledError):
            model.run(WAYS[way][1](board))
        model.clock.sleep(30.0)
        model.interference = model.change_opened = None
        model.air.power(on=False)
        model.air.power(on=True)
        model.clock.sleep(2.0)
        image = image_for(board)
        if board.mode == "application":
            model.run(WAYS[way][1](board))
        elif way is Way.LEGACY:
            model.run(transfers.legacy(image, init=make_legacy(image, 0x64)))
        else:
            model.run(transfers.secure(image, make_microbit(image)))
        model.clock.sleep(4.0)
        assert (board.mode, board.image() == image) == ("application", True), fault
