from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enmctl.boards.esp8266 import Esp8266
from enmctl.errors import UsageError
from enmctl.models import DiscoveredBoard, Radio
from enmctl.radio.mdns import MdnsService
from enmctl.settings import Settings

DRIVER = Esp8266(Settings())


def heard(
    name: str, *, port: int = 80, addresses: tuple[str, ...] = ("10.42.0.7",), **txt: str
) -> DiscoveredBoard | None:
    return DRIVER.recognise(MdnsService(name, "host.local", port, addresses, txt))


@pytest.mark.parametrize(
    ("name", "local_id"),
    [
        ("ESP8266_511898_1265892", "1265892"),
        ("esp8266_511898_1265892", "1265892"),
        ("Esp8266_511898_1265892-2", "1265892"),
        ("ESP8266_511898_1265892-12", "1265892"),
        ("ESP8266_511898_1265892 (2)", "1265892"),
        ("ESP8266_511898_1265892 #2", "1265892"),
        ("ESP8266_511898_1265892-2.local", "1265892"),
        ("ESP8266_511898_1265892.local.", "1265892"),
        ("ESP8266_511898_kitchen", "kitchen"),
        ("ESP8266_511898_kitchen-2", "kitchen-2"),
        ("ESP8266_511898_kitchen (2)", "kitchen"),
        ("ESP8266_511898_left_lamp", "left_lamp"),
        ("ESP8266_511898_5c:cf:7f", "5c:cf:7f"),
    ],
)
def test_a_name_of_the_convention_is_recognised(name: str, local_id: str) -> None:
    board = heard(name)
    assert board is not None
    assert (board.board_type, board.application_id, board.local_id) == ("esp8266", 511898, local_id)
    assert board.name == name
    assert board.radio is Radio.WIFI


NAMES_OF_OTHERS = """
printer ESP8266_511898 ESP8266_x_1 ESP8266_-1_1 ESP8266_1_ microbit_1_2 ESP32_1_2 ESP8266__1 ESP8266_1_a/b ESP8266_²_1
_1_2
"""


@pytest.mark.parametrize(
    "name", [*NAMES_OF_OTHERS.split(), "", "ESP8266_1_ ", "ESP8266_1_a\nb", "ESP8266_1_" + "x" * 64]
)
def test_any_other_name_is_none_of_ours(name: str) -> None:
    assert heard(name) is None


def test_the_advertised_port_and_every_address_are_kept_ipv4_first() -> None:
    board = heard("ESP8266_1_2", port=8080, addresses=("fe80::1%wlan0", "10.0.0.7", "2001:db8::7", "10.0.0.8"))
    assert board is not None
    assert board.port == 8080
    assert board.addresses == ("10.0.0.7", "10.0.0.8", "fe80::1%wlan0", "2001:db8::7")


def test_a_board_without_address_or_port_cannot_be_reached_and_is_none_yet() -> None:
    assert heard("ESP8266_1_2", addresses=()) is None
    assert heard("ESP8266_1_2", port=0) is None


def test_the_txt_record_tells_the_version_of_the_same_board_only() -> None:
    def version(**txt: str) -> str | None:
        board = DRIVER.recognise(MdnsService("ESP8266_1_2", "host.local", 80, ("10.0.0.7",), txt))
        assert board is not None
        assert board.local_id == "2"
        return board.version

    assert version(fw="1.2") == "1.2"
    assert version(FW="1.2", ID="2", APP="1", TYPE="ESP8266") == "1.2"
    assert version(fw="1.2", id="3") is None
    assert version(fw="1.2", app="9") is None
    assert version(fw="") is None
    assert version(fw="x" * 65) is None
    assert version(fw="a b") is None


def test_the_txt_record_settles_which_reading_of_a_suffix_is_right() -> None:
    kitchen = heard("ESP8266_1_kitchen-2", id="kitchen", fw="7")
    number = heard("ESP8266_1_12-2", id="12-2")
    assert kitchen is not None
    assert number is not None
    assert (kitchen.local_id, kitchen.version) == ("kitchen", "7")
    assert number.local_id == "12-2"


@given(st.text(max_size=80), st.integers(-1, 70_000), st.lists(st.text(max_size=40), max_size=3))
@settings(max_examples=300, deadline=None)
def test_nothing_that_is_heard_raises(name: str, port: int, addresses: list[str]) -> None:
    for heard_name in (name, f"ESP8266_{name}", f"ESP8266_7_{name}"):
        heard(heard_name, port=port, addresses=tuple(addresses), fw=name, id=name, app=name)


@pytest.mark.parametrize(
    ("address", "host", "port", "path", "user"),
    [
        ("http://10.0.0.7", "10.0.0.7", 80, "", ""),
        ("HTTP://10.0.0.7/", "10.0.0.7", 80, "", ""),
        ("http://10.0.0.7:8080/ota?x=1", "10.0.0.7", 8080, "/ota?x=1", ""),
        ("http://admin@10.0.0.7/update", "10.0.0.7", 80, "/update", "admin"),
        ("http://a%40b@board/", "board", 80, "", "a@b"),
        ("http://[fe80::1%25eth0]:81/x", "fe80::1%25eth0", 81, "/x", ""),
        ("10.0.0.7", "10.0.0.7", 80, "", ""),
        ("10.0.0.7:81", "10.0.0.7", 81, "", ""),
        ("board.local", "board.local", 80, "", ""),
        ("board:8080", "board", 8080, "", ""),
        ("localhost", "localhost", 80, "", ""),
        ("::1", "::1", 80, "", ""),
        ("[::1]:81", "::1", 81, "", ""),
    ],
)
def test_a_board_may_be_named_by_address(address: str, host: str, port: int, path: str, user: str) -> None:
    board = DRIVER.at_address(address)
    assert board is not None
    assert board.addresses == (host.replace("%25", "%"),)
    assert (board.port, board.path, board.user) == (port, path, user)
    assert board.application_id is None
    assert board.name == board.local_id


NO_ADDRESSES = r"""
1265892 kitchen holy-sunset firmware.bin ./x.bin a/b C:\fw.bin AA:BB:CC:DD:EE:FF 64a1ae37 https://10.0.0.7 ftp://x http://
http://:80 http://10.0.0.7:0 http://10.0.0.7:99999 host:http http://[::1 user@10.0.0.7 . .. ESP8266_1_2
"""


@pytest.mark.parametrize("word", [*NO_ADDRESSES.split(), "", "http://a b/", "bbc micro:bit"])
def test_a_word_that_is_no_address_is_left_to_others(word: str) -> None:
    assert DRIVER.at_address(word) is None


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError) as caught:
        DRIVER.at_address("http://admin:s3cret@10.0.0.7")
    assert "s3cret" not in str(caught.value)
    assert "ENM_OTA_PASSWORD" in caught.value.remedy


@given(st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_no_word_raises_anything_but_a_usage_error(word: str) -> None:
    for text in (word, f"http://{word}", f"{word}.local"):
        try:
            DRIVER.at_address(text)
        except UsageError:
            assert "@" in text
