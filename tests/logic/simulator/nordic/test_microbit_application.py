"""A program on a simulated micro:bit: names, pairing, bonds, the jump to the bootloader, and what it shows."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from enmctl.simulator.nordic.board import NordicBoard
from enmctl.simulator.nordic.contract import AttError, Bonding
from enmctl.simulator.nordic.microbit_application import Habits, friendly_name
from enmctl.simulator.nordic.presets import microbit_v1, microbit_v2
from enmctl.simulator.nordic.program import Boot
from enmctl.simulator.nordic.traits import ProgramTraits, RuntimeTraits
from enmctl.simulator.nordic.uuids import (
    BUTTONLESS,
    BUTTONLESS_BONDED,
    LED_TEXT,
    MICROBIT_DFU_CONTROL,
    MODEL_NUMBER,
    PARTIAL_FLASHING,
)
from tests.logic.simulator.nordic.talking import PEER, Talk

BOTH = pytest.mark.parametrize("make", [microbit_v1, microbit_v2], ids=["V1", "V2"])
BONDED = RuntimeTraits(open=False, whitelist=True, partial=True)
SHOWN = ProgramTraits(led=True)
OTHER = "C0:00:00:00:00:09"


def said(talk: Talk) -> tuple[str, bool] | None:
    advertisement = talk.board.advertisement
    return None if advertisement is None else (advertisement.name, advertisement.bonded_only)


def talk_to(board: NordicBoard, boot: Boot = Boot.NORMAL) -> Talk:
    talk = Talk(board).on()
    if boot is not Boot.NORMAL:
        talk.take(board.reset(talk.now, boot))
        talk.wait(1.0)
    return talk


def bond(talk: Talk, peer: str = PEER) -> None:
    talk.connect(subscribe=False, peer=peer)
    talk.take(talk.board.bonded(talk.now))


@pytest.mark.parametrize(
    ("serial", "name"),
    [(0, "zuzuz"), (1, "zuzuv"), (5, "zuzoz"), (4 + 5 * 2 + 25 + 125 * 4, "zavit"), (3125 + 1, "zuzuv")],
)
def test_a_friendly_name_is_the_serial_number_in_letters(serial: int, name: str) -> None:
    assert friendly_name(serial) == name


@BOTH
def test_an_open_program_advertises_its_own_name_or_the_boards(make: Callable[..., NordicBoard]) -> None:
    serial = 4 + 5 * 2 + 25 + 125 * 4
    assert said(talk_to(make(serial))) == ("BBC micro:bit [zavit]", False)
    named = make(serial, program=ProgramTraits(name="1234567890"))
    assert said(talk_to(named)) == ("BBC micro:bit [1234567890]", False)
    other = make(serial, program=ProgramTraits(prefix="uBit"))
    assert said(talk_to(other)) == ("uBit [zavit]", False)


@BOTH
def test_an_ordinary_program_is_silent_until_it_has_a_bond_and_then_heard_by_bonded_peers(
    make: Callable[..., NordicBoard],
) -> None:
    talk = talk_to(make(runtime=BONDED))
    assert said(talk) is None
    talk.take(talk.board.reset(talk.now, Boot.PAIRING))
    talk.wait(1.0)
    assert said(talk) == ("BBC micro:bit [zuzuv]", False)
    bond(talk)
    talk.wait(20.0)
    assert (talk.board.mode, said(talk)) == ("application", ("BBC micro:bit", True))


@BOTH
def test_a_program_that_uses_the_radio_otherwise_is_heard_in_pairing_mode_alone(
    make: Callable[..., NordicBoard],
) -> None:
    board = make(program=ProgramTraits(bluetooth=False))
    talk = talk_to(board)
    assert said(talk) is None
    talk.take(board.reset(talk.now, Boot.PAIRING))
    talk.wait(1.0)
    assert said(talk) == ("BBC micro:bit [zuzuv]", False)


@BOTH
def test_pairing_mode_ends_by_itself(make: Callable[..., NordicBoard]) -> None:
    talk = talk_to(make(), Boot.PAIRING)
    talk.wait(268.0)
    assert talk.board.mode == "pairing"
    talk.wait(3.0)
    assert talk.board.mode == "application"


@BOTH
def test_after_a_new_bond_it_disconnects_and_later_resets_whatever_goes_on(make: Callable[..., NordicBoard]) -> None:
    talk = talk_to(make(runtime=BONDED), Boot.PAIRING)
    bond(talk)
    talk.wait(1.9)
    assert talk.ended == []
    talk.wait(0.2)
    assert talk.ended == [0x15]
    talk.connect(subscribe=False)
    talk.take(talk.board.encrypted(talk.now))
    talk.wait(12.8)
    assert talk.ended == [0x15]
    talk.wait(0.2)
    assert talk.ended == [0x15, 0x08]
    talk.wait(1.0)
    assert talk.board.mode == "application"


def test_how_it_pairs_is_the_runtimes_matter_and_only_in_pairing_mode() -> None:
    for runtime, habits, bonding in [
        (BONDED, None, Bonding.JUST_WORKS),
        (RuntimeTraits(open=False, passkey=True), None, Bonding.PASSKEY),
        (BONDED, Habits(asks_passkey=True), Bonding.PASSKEY),
        (RuntimeTraits(), None, Bonding.NONE),
        (RuntimeTraits(), Habits(asks_passkey=True), Bonding.PASSKEY),
    ]:
        talk = talk_to(microbit_v1(runtime=runtime, habits=habits))
        assert talk.board.bonding.value == "none"
        talk.take(talk.board.reset(talk.now, Boot.PAIRING))
        talk.wait(1.0)
        assert talk.board.bonding is bonding
        assert bool(talk.board.passkey) is (bonding is Bonding.PASSKEY)


@BOTH
def test_what_wants_a_bond_says_so_and_a_key_from_before_opens_it(make: Callable[..., NordicBoard]) -> None:
    talk = talk_to(make(runtime=BONDED), Boot.PAIRING)
    bond(talk)
    talk.wait(20.0)
    for peer, code in ((OTHER, "0x05"), (PEER, "0x0F")):
        talk.connect(subscribe=False, peer=peer)
        with pytest.raises(AttError, match=code):
            talk.subscribe(PARTIAL_FLASHING)
        assert talk.command(PARTIAL_FLASHING, b"\xee") == []
        assert talk.board.read(MODEL_NUMBER, talk.now).startswith(b"BBC micro:bit")
        talk.leave()
    talk.connect(subscribe=False)
    talk.take(talk.board.encrypted(talk.now))
    talk.subscribe(PARTIAL_FLASHING)
    assert talk.command(PARTIAL_FLASHING, b"\xee") == ["ee 01 01"]


@BOTH
def test_a_bond_that_the_board_has_lost_ends_the_connection(make: Callable[..., NordicBoard]) -> None:
    talk = talk_to(make(runtime=BONDED), Boot.PAIRING)
    bond(talk)
    talk.wait(20.0)
    talk.board.lose_bonds(talk.now)
    talk.take(talk.board.reset(talk.now, Boot.PAIRING))
    talk.wait(1.0)
    talk.ended.clear()
    talk.connect(subscribe=False)
    talk.take(talk.board.encrypted(talk.now))
    assert talk.ended == [0x06]


def test_bonds_outlast_a_power_cut_and_there_is_room_for_four() -> None:
    for make, left in ((microbit_v1, ["C0:00:00:00:00:14"]), (microbit_v2, [f"C0:00:00:00:00:1{n}" for n in "1234"])):
        talk = talk_to(make(runtime=BONDED))
        for number in range(5):
            talk.take(talk.board.reset(talk.now, Boot.PAIRING))
            talk.wait(1.0)
            bond(talk, f"C0:00:00:00:00:1{number}")
            talk.wait(20.0)
        talk.board.power(on=False, now=talk.now)
        talk.on()
        assert list(talk.board.machine.bonds) == left


def test_the_v1_jumps_a_second_after_it_let_the_peer_go() -> None:
    talk = talk_to(microbit_v1())
    talk.connect(subscribe=False)
    assert talk.board.read(MICROBIT_DFU_CONTROL, talk.now) == b"\0"
    assert talk.request(MICROBIT_DFU_CONTROL, b"\x02") == []
    assert talk.ended == []
    talk.request(MICROBIT_DFU_CONTROL, b"\x01")
    assert (talk.ended, said(talk)) == ([0x15], None)
    talk.wait(0.9)
    assert talk.board.mode == "application"
    talk.wait(0.5)
    assert (talk.board.mode, said(talk)) == ("bootloader", ("DfuTarg", False))


def test_the_bonded_v1_hands_its_key_to_the_bootloader_which_lets_nobody_else_in() -> None:
    talk = talk_to(microbit_v1(runtime=BONDED), Boot.PAIRING)
    bond(talk)
    talk.request(MICROBIT_DFU_CONTROL, b"\x01")
    talk.wait(2.0)
    assert said(talk) == ("DfuTarg", True)
    talk.connect(subscribe=False)
    assert talk.board.encrypted(talk.now) == []


@pytest.mark.parametrize("runtime", [RuntimeTraits(), BONDED], ids=["open", "bonded"])
def test_the_v2_answers_by_an_indication_and_resets_once_it_is_confirmed(runtime: RuntimeTraits) -> None:
    uuid = BUTTONLESS if runtime.open else BUTTONLESS_BONDED
    talk = talk_to(microbit_v2(runtime=runtime), Boot.PAIRING)
    talk.connect(subscribe=False)
    if not runtime.open:
        talk.take(talk.board.bonded(talk.now))
    with pytest.raises(AttError, match="0xFD"):
        talk.request(uuid, b"\x01")
    talk.subscribe(uuid)
    assert talk.request(uuid, b"\x05") == ["20 05 02"]
    assert talk.request(uuid, b"\x02\x01a") == ["20 02 02"]
    assert talk.request(uuid, b"\x01") == ["20 01 01"]
    assert talk.request(uuid, b"\x01") == ["20 01 06"]
    assert talk.ended == []
    talk.wait(0.2)
    assert talk.ended == [0x13]
    talk.wait(1.0)
    assert (talk.board.mode, said(talk)) == ("bootloader", ("DfuTarg", not runtime.open))
    talk.wait(121.0)
    assert talk.board.mode == "application"


def test_a_v2_that_refuses_the_jump_stays_as_it_is() -> None:
    talk = talk_to(microbit_v2(habits=Habits(jump_result=0x04)))
    talk.connect(subscribe=False)
    talk.subscribe(BUTTONLESS)
    assert talk.request(BUTTONLESS, b"\x01") == ["20 01 04"]
    talk.wait(5.0)
    assert (talk.board.mode, talk.ended) == ("application", [])


@BOTH
def test_it_tells_its_model_and_shows_what_it_is_sent(make: Callable[..., NordicBoard]) -> None:
    talk = talk_to(make(program=SHOWN))
    talk.connect(subscribe=False)
    model = talk.board.read(MODEL_NUMBER, talk.now)
    assert model == (b"BBC micro:bit V2.0" if make is microbit_v2 else b"BBC micro:bit")
    talk.request(LED_TEXT, b"hello")
    talk.request(LED_TEXT, bytes(range(0x41, 0x55)))
    with pytest.raises(AttError, match="0x0D"):
        talk.request(LED_TEXT, bytes(21))
    program = talk.board.describe()["program"]
    assert isinstance(program, dict)
    assert program["shown"] == ["hello", "ABCDEFGHIJKLMNOPQRST"]


@BOTH
def test_in_pairing_mode_and_without_the_service_there_is_nothing_to_show_on(make: Callable[..., NordicBoard]) -> None:
    for board, boot in ((make(program=SHOWN), Boot.PAIRING), (make(), Boot.NORMAL)):
        talk = talk_to(board, boot)
        talk.connect(subscribe=False)
        with pytest.raises(AttError, match="0x0A"):
            talk.request(LED_TEXT, b"hello")
