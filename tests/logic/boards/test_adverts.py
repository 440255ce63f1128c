"""Which boards are behind which Bluetooth advertisements, and which are somebody else's."""

from __future__ import annotations

import pytest

from enmctl.boards.adverts import next_address
from enmctl.boards.microbit import Microbit, led_columns
from enmctl.boards.nrf51822dk import Nrf51822Dk
from enmctl.dfu.gatt import LEGACY_SERVICE, SECURE_SERVICE
from enmctl.models import BoardMode, DiscoveredBoard, Radio
from enmctl.radio.bluetooth import Advert
from enmctl.radio.mdns import MdnsService
from enmctl.settings import Settings

ADDRESS = "E5:1D:00:00:00:0B"
MICROBIT, DK = Microbit(Settings()), Nrf51822Dk(Settings())


@pytest.mark.parametrize(
    ("name", "application", "short"),
    [
        ("BBC micro:bit [zuziv]", None, "zuziv"),
        ("BBC micro:bit [511898]", 511898, "511898"),
        ("BBC micro:bit [4711]", 4711, "4711"),
        ("BBC micro:bit", None, "BBC micro:bit"),
        ("BBC MicroBit [zavit]", None, "zavit"),
        ("bbc micro:bit [tagop]", None, "tagop"),
        ("uBit [zavit]", None, "zavit"),
        ("uBit [1265892]", 1265892, "1265892"),
        ("BBC micro:bit [123]", None, "123"),
        ("BBC micro:bit [garden 1]", None, "garden 1"),
    ],
)
def test_every_form_of_a_microbits_name_is_known(name: str, application: int | None, short: str) -> None:
    board = MICROBIT.recognise(Advert(ADDRESS, name, signal=-48))
    assert board == DiscoveredBoard("microbit", application, ADDRESS, Radio.BLUETOOTH, name, (ADDRESS,), signal=-48)
    assert board.short_name == short
    assert board.mode is BoardMode.APPLICATION
    assert DK.recognise(Advert(ADDRESS, name)) is None


@pytest.mark.parametrize("name", ["511898", "4711", "123456789012345678"])
def test_an_nrf51822dk_is_called_as_its_application(name: str) -> None:
    board = DK.recognise(Advert(ADDRESS.lower(), name))
    assert board is not None
    assert (board.application_id, board.local_id, board.board_type) == (int(name), ADDRESS, "nrf51822dk")
    assert MICROBIT.recognise(Advert(ADDRESS, name)) is None


@pytest.mark.parametrize(
    "name",
    [
        "",
        "123",
        "1234567890123456789",
        "4711 ",
        "47a11",
        "\u0664\u0667\u0661\u0661",
        "BBC micro:bit zuziv",
        "BBC micro:bit []",
        "BBC micro:bit [zuziv] 2",
        "my BBC micro:bit [zuziv]",
        "BBC micro:bit [a name that is long]",
        "Fitbit",
        "uBit2 [zavit]",
        "Nordic_HRM",
        "DfuTarget",
    ],
)
def test_boards_of_others_are_nobodys(name: str) -> None:
    assert MICROBIT.recognise(Advert(ADDRESS, name)) is None
    assert DK.recognise(Advert(ADDRESS, name)) is None


@pytest.mark.parametrize(
    ("name", "services", "types"),
    [
        ("DfuTarg", set(), {"microbit", "nrf51822dk"}),
        ("DfuTarg", {LEGACY_SERVICE}, {"microbit", "nrf51822dk"}),
        ("DfuTarg", {SECURE_SERVICE}, {"microbit"}),
        ("Lamp", {LEGACY_SERVICE}, {"microbit", "nrf51822dk"}),
        ("", {SECURE_SERVICE}, {"microbit"}),
        ("Lamp", set(), set()),
    ],
)
def test_a_bootloader_is_known_by_name_or_service_and_names_no_application(
    name: str, services: set[str], types: set[str]
) -> None:
    advert = Advert(ADDRESS, name, frozenset(services))
    boards = [board for driver in (MICROBIT, DK) if (board := driver.recognise(advert)) is not None]
    assert {board.board_type for board in boards} == types
    for board in boards:
        assert (board.mode, board.application_id, board.local_id) == (BoardMode.BOOTLOADER, None, ADDRESS)
        assert board.name == (name or "bootloader")


def test_a_program_that_advertises_the_update_service_is_no_bootloader() -> None:
    for driver, name in ((MICROBIT, "BBC micro:bit [zuziv]"), (DK, "4711")):
        board = driver.recognise(Advert(ADDRESS, name, frozenset({LEGACY_SERVICE, SECURE_SERVICE})))
        assert board is not None
        assert board.mode is BoardMode.APPLICATION


def test_what_another_radio_hears_is_nobodys() -> None:
    assert MICROBIT.recognise(MdnsService("BBC micro:bit [zuziv]", "here.local.", 80, ("127.0.0.1",))) is None


def test_an_address_is_one_in_any_case_and_nothing_else_is() -> None:
    board = MICROBIT.at_address(ADDRESS.lower())
    assert board is not None
    assert (board.local_id, board.addresses) == (ADDRESS, (ADDRESS,))
    for word in ("10.0.0.7", "E5:1D:00:00:00", f"{ADDRESS}:00", "zuziv", "E5-1D-00-00-00-0B"):
        assert MICROBIT.at_address(word) is None


def test_a_bootloaders_own_address_is_the_next_one_without_a_carry() -> None:
    assert next_address("e5:1d:00:00:00:0b") == "E5:1D:00:00:00:0C"
    assert next_address("E5:1D:00:00:00:FF") == "E5:1D:00:00:00:00"
    assert next_address("1F0A7E2C-0000-0000-0000-000000000000") is None


def test_the_lights_of_a_name_are_counted_as_the_board_shows_them() -> None:
    assert led_columns("zuziv") == "1 1 1 3 2"
    assert led_columns("tatit") == "5 5 5 3 5"
    assert led_columns("511898") == led_columns("uzuzu") == ""
