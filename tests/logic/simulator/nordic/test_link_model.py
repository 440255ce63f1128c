"""The model of a link: when what arrives where, and what it does with a board's effects."""

from __future__ import annotations

from typing import Any

import pytest

from enmctl.dfu.link import (
    AbsentError,
    Close,
    GattError,
    Heard,
    Keep,
    LinkLostError,
    LinkTimeoutError,
    Lost,
    Memory,
    Notification,
    Open,
    Opened,
    Operation,
    Read,
    Request,
    Subscribe,
    Tell,
    Transfer,
    Wait,
    Write,
)
from enmctl.firmware.nordic_init import make_legacy
from enmctl.models import BoardMode, Stage, Step
from enmctl.simulator.nordic.clock import Clock, EndlessError
from enmctl.simulator.nordic.legacy_rules import MICROBIT
from enmctl.simulator.nordic.link_model import Timing
from enmctl.simulator.nordic.model import HostKilledError, Model
from enmctl.simulator.nordic.program import Boot
from enmctl.simulator.nordic.secure_rules import MICROBIT as SECURE_MICROBIT
from enmctl.simulator.nordic.secure_rules import SecureOptions
from enmctl.simulator.nordic.uuids import LEGACY_CONTROL, LEGACY_PACKET, LEGACY_VERSION
from tests.logic.simulator.nordic import secure, transfers
from tests.logic.simulator.nordic.legacy import ADDRESS, STOCK, board_of, image, sizes
from tests.logic.simulator.nordic.transfers import ask, legacy

SECURE_STOCK = SecureOptions()
BOOTLOADER, APPLICATION = BoardMode.BOOTLOADER, BoardMode.APPLICATION
OPEN = Open(BOOTLOADER, 10.0)
REPORT = Request(LEGACY_CONTROL, b"\x07")


def model_of(timing: Timing | None = None, *, clock: Clock | None = None, old: bytes = b"") -> Model:
    model = Model(board_of(MICROBIT, old=old), timing, clock=clock)
    model.air.power(on=True)
    return model


def brought(model: Model, *operations: Operation) -> list[Any]:
    return model.run(ask(*operations))


@pytest.mark.parametrize("interval", [0.0075, 0.015, 0.030, 0.050])
@pytest.mark.parametrize("packets", [1, 4, 6])
def test_a_link_carries_what_its_events_allow_and_a_window_overflows_nothing(interval: float, packets: int) -> None:
    data = image(16_000)
    model = model_of(Timing(interval=interval, packets=packets))
    began: list[float] = []

    def stamped() -> Transfer[None]:
        transfer = legacy(data)
        operation = next(transfer)
        while True:
            if operation == Request(LEGACY_CONTROL, b"\x03"):
                began.append(model.now())
            if operation == Request(LEGACY_CONTROL, b"\x04"):
                began.append(model.now())
            try:
                operation = transfer.send((yield operation))
            except StopIteration:
                return

    model.run(stamped())
    took = began[1] - began[0]
    assert len(data) / took > 0.94 * packets * 20 / interval
    assert len(data) / took <= packets * 20 / interval


def test_the_whole_transfer_ends_with_the_image_running() -> None:
    for options in (MICROBIT, STOCK):
        data, board = image(8000), board_of(options)
        model = Model(board)
        model.air.power(on=True)
        model.run(legacy(data, init=make_legacy(data, 0xFFFE)))
        model.clock.sleep(2.0)
        assert (board.mode, board.image()) == ("application", data)


def test_a_whole_secure_transfer_ends_with_the_image_running() -> None:
    for options in (SECURE_MICROBIT, SECURE_STOCK):
        data, board = secure.image(9000), secure.board_of(options)
        model = Model(board)
        model.air.power(on=True)
        model.run(transfers.secure(data, secure.init_of(options, data)))
        model.clock.sleep(3.0)
        assert (board.mode, board.image()) == ("application", data)


def test_the_payload_of_a_secure_bootloader_is_what_both_take_in_whole_words() -> None:
    for mtu, most in ((23, 20), (185, 180), (247, 244), (517, 244)):
        model = Model(secure.board_of(SECURE_MICROBIT), Timing(mtu=mtu))
        model.air.power(on=True)
        assert brought(model, OPEN)[0].most == most


def test_a_request_goes_at_the_next_event_and_its_answer_at_the_one_after_and_a_little_later() -> None:
    model = model_of(Timing(interval=0.1, latency=0.005))
    times: list[float] = []

    def transfer() -> Transfer[None]:
        yield OPEN
        times.append(model.now())
        yield Subscribe(LEGACY_CONTROL)
        times.append(model.now())
        yield REPORT
        times.append(model.now())
        yield Wait(1.0)
        times.append(model.now())

    model.run(transfer())
    opened = times[0]
    assert [time - opened for time in times] == pytest.approx([0.0, 0.205, 0.405, 0.405], abs=1e-3)


def test_without_late_notifications_an_answer_comes_in_the_same_event() -> None:
    model = model_of(Timing(interval=0.1, latency=0.005, late=False))
    times: list[float] = []

    def transfer() -> Transfer[None]:
        yield OPEN
        times.append(model.now())
        yield Subscribe(LEGACY_CONTROL)
        times.append(model.now())

    model.run(transfer())
    assert times[1] - times[0] == pytest.approx(0.1054, abs=1e-3)


def test_writes_are_queued_without_end_and_cost_no_time_or_wait_for_room() -> None:
    for queue, waits in ((None, False), (4, True)):
        model = model_of(Timing(interval=0.1, packets=2, queue=queue))
        times: list[float] = []

        def transfer(model: Model = model, times: list[float] = times) -> Transfer[None]:
            yield OPEN
            for _ in range(10):
                times.append(model.now())
                yield Write(LEGACY_PACKET, bytes(20))

        model.run(transfer())
        assert (times[-1] > times[0] + 0.2) is waits


def test_opening_tells_what_is_there() -> None:
    [opened] = brought(model_of(), OPEN)
    assert opened.characteristics == {LEGACY_CONTROL, LEGACY_PACKET, LEGACY_VERSION}
    assert (opened.most, opened.services) == (20, 3)


def test_a_board_that_is_off_or_in_another_mode_is_absent() -> None:
    model = Model(board_of(MICROBIT))
    assert isinstance(brought(model, Open(BOOTLOADER, 5.0))[0], AbsentError)
    assert model.now() == pytest.approx(5.0)
    assert isinstance(brought(model_of(), Open(APPLICATION, 5.0))[0], AbsentError)


def test_a_board_is_waited_for_until_it_comes() -> None:
    model = Model(board_of(MICROBIT))
    model.clock.at(3.0, lambda: model.air.power(on=True))
    results = brought(model, Heard(BOOTLOADER, 1.0), Heard(BOOTLOADER, 0.0), Heard(BOOTLOADER, 10.0), OPEN)
    assert results[:3] == [None, None, BOOTLOADER]
    assert model.now() == pytest.approx(3.0 + 0.2 + 0.1 + 0.3)
    assert brought(model, Close(), Heard(BOOTLOADER, 0.0)) == [None, BOOTLOADER]
    assert brought(model, Heard(None, 1.0), Heard(APPLICATION, 1.0)) == [BOOTLOADER, None]


def test_opening_again_closes_the_connection_before() -> None:
    model = model_of()
    results = brought(model, OPEN, Subscribe(LEGACY_CONTROL), REPORT, OPEN, Wait(0), REPORT)
    assert results[4] is None
    assert isinstance(results[5], GattError)
    assert results[5].code == 0xFD


def test_what_is_subscribed_to_arrives_in_order_and_is_kept_until_it_is_waited_for() -> None:
    model = model_of()
    zero = Notification(LEGACY_CONTROL, bytes.fromhex("10 07 01 00 00 00 00"))
    unknown = Notification(LEGACY_CONTROL, bytes.fromhex("10 77 03"))
    results = brought(
        model,
        OPEN,
        Subscribe(LEGACY_CONTROL),
        REPORT,
        Request(LEGACY_CONTROL, b"\x77"),
        Wait(1.0),
        Wait(0),
        Wait(0),
        Wait(0.5),
    )
    assert results[3:] == [None, zero, unknown, None, None]


def test_errors_of_the_board_are_told_with_their_codes() -> None:
    results = brought(model_of(), OPEN, REPORT, Read(LEGACY_PACKET), Subscribe(LEGACY_VERSION), Read(LEGACY_VERSION))
    assert [error.code for error in results[1:4] if isinstance(error, GattError)] == [0xFD, 0x02, 0x06]
    assert results[4] == b"\x04\x00"


def test_a_board_that_ends_the_connection_is_told_at_the_next_operation_and_what_it_said_before_is_kept() -> None:
    model = model_of()
    reset = Request(LEGACY_CONTROL, b"\x06")
    results = brought(model, OPEN, Subscribe(LEGACY_CONTROL), REPORT, reset, Wait(1.0), Wait(1.0), Wait(0), REPORT)
    assert isinstance(results[4], Notification)
    assert [isinstance(result, LinkLostError) for result in results[5:]] == [True] * 3
    assert isinstance(brought(model, Write(LEGACY_PACKET, b"1234"))[0], LinkLostError)


def test_waiting_for_the_end_brings_whether_it_came_and_drops_what_was_said() -> None:
    model = model_of()
    results = brought(
        model, OPEN, Subscribe(LEGACY_CONTROL), REPORT, Lost(1.0), Wait(0), Request(LEGACY_CONTROL, b"\x06"), Lost(1.0)
    )
    assert results[3:] == [False, None, None, True]
    assert brought(model, Lost(1.0), Close()) == [True, None]


def test_closing_ends_the_connection_for_both() -> None:
    model = model_of()
    assert brought(model, OPEN, Close())[1] is None
    assert model.air.board.advertisement is not None
    assert isinstance(brought(model, REPORT)[0], LinkLostError)
    assert brought(model, Close()) == [None]


def test_a_power_cut_is_seen_by_the_supervision_timeout() -> None:
    model = model_of(Timing(supervision=4.0))
    model.clock.at(1.0, lambda: model.air.power(on=False))
    results = brought(model, OPEN, Subscribe(LEGACY_CONTROL), Wait(30.0))
    assert isinstance(results[2], LinkLostError)
    assert model.now() == pytest.approx(5.0)


def test_a_request_that_is_never_answered_times_out_and_the_link_is_of_no_more_use() -> None:
    model = model_of(Timing(supervision=100.0, att_timeout=30.0))
    model.clock.at(1.0, lambda: model.air.power(on=False))
    results = brought(model, OPEN, Wait(2.0), REPORT, REPORT)
    assert isinstance(results[2], LinkTimeoutError)
    assert isinstance(results[3], LinkLostError)


def test_a_link_that_breaks_is_lost_to_both_after_a_while() -> None:
    model = model_of(Timing(supervision=2.0))

    def break_it() -> None:
        assert model.air.link is not None
        model.air.link.lose()

    model.clock.at(1.0, break_it)
    results = brought(model, OPEN, Wait(30.0))
    assert isinstance(results[1], LinkLostError)
    assert model.now() == pytest.approx(3.0)
    assert isinstance(brought(model, OPEN)[0], Opened)


def test_news_is_collected_and_memory_is_kept_as_it_was_written_down() -> None:
    memory = Memory(sent=1, sha256="a")
    model = Model(board_of(MICROBIT), memory=memory)
    step = Step(Stage.TRANSFERRING, 1, 2)

    def transfer() -> Transfer[str]:
        yield Tell(step)
        memory.sent = 2
        yield Keep()
        memory.sent, memory.sha256 = 3, "b"
        return "done"

    assert model.run(transfer()) == "done"
    assert model.steps == [step]
    assert model.kept == Memory(sent=2, sha256="a")


def test_a_killed_program_does_nothing_more_and_its_connection_ends() -> None:
    model = model_of()
    model.clock.at(2.0, model.kill)
    with pytest.raises(HostKilledError):
        model.run(ask(OPEN, Wait(30.0), REPORT))
    model.clock.sleep(1.0)
    assert model.air.board.advertisement is not None


def test_two_transfers_run_at_once_on_one_clock() -> None:
    data = image(8000)
    clock = Clock()
    models = [model_of(clock=clock) for _ in range(2)]
    for model in models:
        model.start(legacy(data))
    clock.run(lambda: all(model.ended for model in models), limit=1000.0)
    alone = model_of()
    alone.run(legacy(data))
    assert [model.result() for model in models] == [None, None]
    assert clock.now == pytest.approx(alone.now(), rel=0.05)


def test_a_transfer_that_never_ends_is_an_error() -> None:
    def transfer() -> Transfer[None]:
        while True:
            yield Heard(APPLICATION, 10.0)

    with pytest.raises(EndlessError):
        model_of().run(transfer(), limit=100.0)


def test_what_a_transfer_raises_is_raised() -> None:
    def transfer() -> Transfer[None]:
        yield Tell(Step(Stage.DONE))
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        model_of().run(transfer())


def test_a_directed_advertisement_is_heard_by_the_one_it_is_for() -> None:
    for peer, absent in (("C0:DE:00:00:00:01", False), ("C0:DE:00:00:00:02", True)):
        board = board_of(STOCK, old=image(4096))
        model = Model(board, peer=peer)
        model.air.power(on=True)
        model.clock.sleep(1.0)
        board.machine.caller = "C0:DE:00:00:00:01"
        model.air.take(board.reset(model.now(), Boot.BOOTLOADER))
        assert isinstance(brought(model, Open(BOOTLOADER, 5.0))[0], AbsentError) is absent
        assert board.machine.address == ADDRESS


def test_a_start_packet_behind_a_request_keeps_its_place() -> None:
    results = brought(
        model_of(),
        OPEN,
        Subscribe(LEGACY_CONTROL),
        Request(LEGACY_CONTROL, b"\x01\x04"),
        Write(LEGACY_PACKET, sizes(4000)),
        Request(LEGACY_CONTROL, b"\x77"),
        Wait(1.0),
        Wait(1.0),
    )
    assert [said.data.hex() for said in results[5:] if isinstance(said, Notification)] == ["107703", "100101"]
