"""What the secure bootloader keeps and loses, and whom it lets in."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enmctl.simulator.nordic.contract import AttError
from enmctl.simulator.nordic.secure_rules import MICROBIT, SecureOptions
from enmctl.simulator.nordic.uuids import SECURE_CONTROL, SECURE_SERVICE
from tests.logic.simulator.nordic.legacy import ADDRESS
from tests.logic.simulator.nordic.secure import (
    BOARDS,
    ERASE,
    OK,
    STOCK,
    board_of,
    create,
    every_board,
    image,
    init_of,
    place,
    prepared,
    send_object,
    sent,
    talk_to,
)
from tests.logic.simulator.nordic.talking import PEER, Talk

DATA = image(9000)
PACKETS = [DATA[at : min(at + 244, 4096)] for at in range(0, 4096, 244)]
NEXT_ADDRESS = "E0:11:22:33:44:00"


@pytest.mark.parametrize(("options", "kept"), [(MICROBIT, b""), (STOCK, DATA[:6000])], ids=["micro:bit", "stock"])
def test_a_lost_connection_keeps_the_init_packet_and_of_the_image_what_the_build_keeps(
    options: SecureOptions, kept: bytes
) -> None:
    talk = prepared(options, DATA)
    send_object(talk, DATA[:4096])
    talk.control("04")
    talk.wait(1.0)
    talk.control(create(2, 4096))
    talk.wait(ERASE)
    talk.packet(DATA[4096:4200])
    for at in range(4200, 6000, 200):
        talk.packet(DATA[at : at + 200], after=0.01)
    talk.leave()
    talk.wait(1.0)
    talk.connect()
    assert talk.control("06 01")[0].endswith(place(init_of(options, DATA)))
    assert talk.control("06 02")[0].endswith(place(kept))
    if not kept:
        assert talk.control(create(2, 4096)) == [OK.format(1)]


def test_an_init_packet_that_was_not_executed_goes_with_the_connection() -> None:
    talk = talk_to(MICROBIT)
    talk.control(create(1, 56))
    talk.packet(bytes(20))
    talk.leave()
    talk.connect()
    assert talk.control("06 01")[0].endswith(place(b""))


@pytest.mark.parametrize(("after", "mode"), [(1e-3, "bootloader"), (0.02, "application")])
def test_a_connection_lost_while_the_last_object_is_written_loses_the_image_and_later_it_does_not(
    after: float, mode: str
) -> None:
    talk = sent(MICROBIT, DATA)
    assert len(DATA) - 8192 == 808
    talk.control(create(2, 808))
    talk.wait(ERASE)
    for at in range(8192, 9000, 200):
        talk.packet(DATA[at : min(at + 200, 9000)])
    talk.control("04")
    talk.wait(after)
    talk.leave()
    talk.wait(5.0)
    assert talk.board.mode == mode


@every_board
def test_a_reset_keeps_the_executed_init_packet_and_loses_the_image(options: SecureOptions) -> None:
    talk = prepared(options, DATA)
    send_object(talk, DATA[:4096])
    talk.board.power(on=False, now=talk.now)
    talk.take(talk.board.power(on=True, now=talk.now))
    talk.wait(1.0)
    talk.connect()
    assert talk.control("06 01")[0].endswith(place(init_of(options, DATA)))
    assert talk.control("04") == [OK.format(4)]
    assert talk.control("06 02")[0].endswith(place(b""))
    for at in range(0, len(DATA), 4096):
        send_object(talk, DATA[at : at + 4096])
        talk.control("04")
        talk.wait(1.0)
    talk.wait(3.0)
    assert talk.board.image() == DATA


def test_a_power_cut_while_the_settings_are_written_falls_back_to_the_second_page() -> None:
    for after in (0.01, 0.05, 0.09, 0.1, 0.15, 0.19):
        old = image(12_000, seed=4)
        talk = talk_to(STOCK, old=old)
        init = init_of(STOCK, DATA)
        talk.control(create(1, len(init)))
        talk.packet(init)
        talk.control("04")
        talk.wait(after)
        talk.board.power(on=False, now=talk.now)
        talk.take(talk.board.power(on=True, now=talk.now))
        talk.wait(1.0)
        assert (talk.board.mode, talk.board.image()) == ("application", old)


@every_board
def test_silence_for_two_minutes_resets_and_only_progress_puts_it_off(options: SecureOptions) -> None:
    talk = prepared(options, DATA)
    talk.wait(100.0)
    send_object(talk, DATA[:4096])
    talk.control("04")
    talk.wait(100.0)
    assert talk.ended == []
    talk.control("03")
    talk.wait(25.0)
    assert talk.ended == [0x13]


def test_with_a_valid_application_only_its_bonded_caller_is_let_in() -> None:
    talk = talk_to(MICROBIT, old=image(), caller=PEER, subscribe=False)
    for act in (talk.subscribe, lambda: talk.control("03")):
        with pytest.raises(AttError, match="0x0F"):
            act()
    talk.leave()
    said = talk.board.advertisement
    assert said is not None
    assert (said.address, said.name, said.services, said.bonded_only) == (ADDRESS, "DfuTarg", (SECURE_SERVICE,), True)
    talk.connect(subscribe=False, peer="C0:00:00:00:00:09")
    with pytest.raises(AttError, match="0x05"):
        talk.subscribe()
    talk.take(talk.board.encrypted(talk.now))
    assert talk.ended == [0x06]
    talk.connect(subscribe=False)
    talk.take(talk.board.encrypted(talk.now))
    talk.subscribe()
    assert talk.control("03") == [f"60 03 01 {place(b'')}"]


def test_without_a_valid_application_or_a_caller_everybody_is_let_in() -> None:
    for talk in (talk_to(MICROBIT), talk_to(MICROBIT, caller=PEER), talk_to(MICROBIT, old=image())):
        assert talk.control("03") == [f"60 03 01 {place(b'')}"]
        talk.leave()
        said = talk.board.advertisement
        assert said is not None
        assert (said.address, said.bonded_only) == (ADDRESS, False)


def test_an_interrupted_update_of_a_bonded_board_may_be_finished_by_anybody() -> None:
    talk = prepared(MICROBIT, DATA, old=image(), caller=PEER)
    talk.leave()
    said = talk.board.advertisement
    assert said is not None
    assert said.bonded_only
    talk.board.power(on=False, now=talk.now)
    talk.take(talk.board.power(on=True, now=talk.now))
    talk.wait(1.0)
    said = talk.board.advertisement
    assert said is not None
    assert not said.bonded_only


def test_the_stock_one_advertises_under_the_next_address() -> None:
    talk = Talk(board_of(STOCK), control=SECURE_CONTROL)
    said = talk.on().board.advertisement
    assert said is not None
    assert (said.address, said.name, talk.board.most_mtu) == (NEXT_ADDRESS, "DfuTarg", 247)


WRITES = st.lists(
    st.one_of(
        st.tuples(st.just("control"), st.binary(min_size=1, max_size=6)),
        st.tuples(
            st.just("control"),
            st.sampled_from([bytes.fromhex(create(2, 4096)), bytes.fromhex(create(1, 56)), b"\x04", b"\x06\x02"]),
        ),
        st.tuples(st.just("packet"), st.binary(max_size=244)),
        st.tuples(st.just("packet"), st.just(init_of(MICROBIT, DATA))),
        st.tuples(st.just("wait"), st.sampled_from([b"\x01", b"\x10", b"\xff"])),
        st.tuples(st.just("leave"), st.just(b"")),
    ),
    max_size=30,
)


@pytest.mark.parametrize("options", BOARDS.values(), ids=BOARDS.keys())
@settings(max_examples=60)
@given(writes=WRITES)
def test_no_writes_break_it_or_reach_beyond_its_place_in_the_flash(
    options: SecureOptions, writes: list[tuple[str, bytes]]
) -> None:
    talk = talk_to(options, old=image())
    layout, flash = talk.board.machine.layout, talk.board.machine.flash
    around = flash.read(0, layout.application), flash.read(layout.bootloader, 0x7E000 - layout.bootloader)
    for what, data in writes:
        if talk.board.mode != "bootloader":
            break
        if talk.board.machine.peer is None:
            talk.connect()
        if what == "wait":
            talk.wait(data[0] / 16)
        elif what == "leave":
            talk.leave()
        elif what == "control":
            assert talk.code(data.hex()) is None
        else:
            talk.packet(data)
        assert all(text.startswith("60") for text in talk.heard())
    talk.wait(2.0)
    assert (flash.read(0, layout.application), flash.read(layout.bootloader, 0x7E000 - layout.bootloader)) == around


@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from([20, 100, 244]), st.sampled_from([0.0, 0.0, 0.001, 0.02])), max_size=40))
def test_what_is_told_of_an_object_is_what_is_in_the_flash(packets: list[tuple[int, float]]) -> None:
    talk = prepared(MICROBIT, DATA)
    talk.control(create(2, 4096))
    for size, pause in packets:
        talk.packet(DATA[:size], after=pause)
    [said] = talk.control("03")
    talk.board.machine.flash.settle(talk.now + 1.0)
    offset = int.from_bytes(bytes.fromhex(said)[3:7], "little")
    assert said == f"60 03 01 {place(talk.board.machine.flash.read(0x1C000, offset))}"
