"""Programs on boards of Nordic's own: how they are called, and how they bring their bootloaders up."""

from __future__ import annotations

import pytest

from enmctl.simulator.nordic.board import NordicBoard
from enmctl.simulator.nordic.contract import AttError
from enmctl.simulator.nordic.legacy_rules import LegacyOptions
from enmctl.simulator.nordic.presets import nrf51822dk, stock_legacy, stock_secure
from enmctl.simulator.nordic.traits import ProgramTraits
from enmctl.simulator.nordic.uuids import BUTTONLESS, LEGACY_VERSION
from tests.logic.simulator.nordic.talking import PEER, Talk

HERE, NEXT = "E5:1D:00:00:00:01", "E5:1D:00:00:00:02"


def said(board: NordicBoard) -> tuple[str, str, str]:
    advertisement = board.advertisement
    assert advertisement is not None
    return advertisement.address, advertisement.name, advertisement.directed_to


def test_a_kit_is_called_as_its_application() -> None:
    board = Talk(nrf51822dk(program=ProgramTraits(name="1234567890"))).on().board
    assert said(board) == (HERE, "1234567890", "")


def test_a_kit_tells_that_it_can_jump_and_jumps_when_notifications_are_on() -> None:
    talk = Talk(nrf51822dk()).on().connect(subscribe=False)
    assert talk.board.read(LEGACY_VERSION, talk.now) == b"\x01\x00"
    with pytest.raises(AttError, match="0xFD"):
        talk.control("01 04")
    talk.subscribe()
    assert talk.control("01") == ["10 01 06"]
    assert talk.control("77") == ["10 77 03"]
    assert talk.control("07") == []
    assert talk.control("01 04") == []
    assert talk.ended == [0x13]
    talk.wait(1.0)
    assert talk.board.mode == "bootloader"
    assert said(talk.board) == (HERE, "", PEER)


def test_the_directed_bootloader_gives_up_and_a_reset_changes_its_address() -> None:
    talk = Talk(nrf51822dk()).on().connect()
    talk.control("01 04")
    talk.wait(66.0)
    assert talk.board.mode == "application"
    empty = Talk(nrf51822dk(image=b"")).on()
    assert said(empty.board) == (NEXT, "DfuTarg", "")


def test_a_bootloader_that_was_called_for_forgets_its_caller_when_it_resets() -> None:
    talk = Talk(nrf51822dk(options=LegacyOptions(dual_bank=False))).on().connect()
    talk.control("01 04")
    talk.wait(1.0)
    talk.connect()
    talk.control("01 04")
    talk.packet(bytes(8) + (4096).to_bytes(4, "little"))
    talk.wait(1.0)
    talk.control("06")
    talk.wait(1.0)
    assert talk.board.mode == "bootloader"
    assert said(talk.board) == (NEXT, "DfuTarg", "")


def test_a_board_without_directed_advertising_takes_the_next_address() -> None:
    talk = Talk(stock_legacy()).on().connect()
    talk.control("01 04")
    talk.wait(1.0)
    assert said(talk.board) == (NEXT, "DfuTarg", "")


def test_a_stock_secure_board_jumps_to_the_next_address_under_the_name_it_was_given() -> None:
    talk = Talk(stock_secure()).on().connect(subscribe=False)
    talk.subscribe(BUTTONLESS)
    for text, answer in [("02", "05"), ("02 00", "05"), ("02 03 61", "05"), ("02 15" + "61" * 21, "05")]:
        if len(bytes.fromhex(text)) <= 20:
            assert talk.request(BUTTONLESS, bytes.fromhex(text)) == [f"20 02 {answer}"]
    assert talk.request(BUTTONLESS, b"\x02\x05mine1") == ["20 02 01"]
    assert talk.request(BUTTONLESS, b"\x01") == ["20 01 01"]
    talk.wait(1.0)
    assert said(talk.board) == (NEXT, "mine1", "")
    talk.wait(121.0)
    assert talk.board.mode == "application"
    talk.connect(subscribe=False)
    talk.subscribe(BUTTONLESS)
    talk.request(BUTTONLESS, b"\x01")
    talk.wait(1.0)
    assert said(talk.board) == (NEXT, "DfuTarg", "")
