from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enmctl.errors import SettingError
from enmctl.radio.mdns import decode_properties, instance_name, interfaces, usable_addresses
from enmctl.settings import Settings


def test_a_txt_record_becomes_text_however_it_is_filled() -> None:
    record = {b"app": b"511898", b"flag": None, b"empty": b"", b"fw": b"\xc3\xbcber", b"bad\xff": b"\xfe", b"": b"lost"}
    assert decode_properties(record) == {
        "app": "511898",
        "flag": "",
        "empty": "",
        "fw": "über",
        "bad\ufffd": "\ufffd",
    }


@settings(deadline=None, max_examples=200)
@given(st.dictionaries(st.binary(max_size=255), st.none() | st.binary(max_size=255), max_size=20))
def test_no_txt_record_can_break_the_decoding(record: dict[bytes, bytes | None]) -> None:
    assert all(isinstance(word, str) for pair in decode_properties(record).items() for word in pair)


def test_every_address_is_kept_with_its_scope_and_in_its_order() -> None:
    addresses = ["192.0.2.9", "192.0.2.7", "2001:db8::1", "fe80::1%3", "192.0.2.9"]
    assert usable_addresses(addresses, loopback_only=False) == ("192.0.2.9", "192.0.2.7", "2001:db8::1", "fe80::1%3")


@pytest.mark.parametrize(
    "address",
    ["0.0.0.0", "::", "224.0.0.251", "ff02::fb", "255.255.255.255", "", "printer"],  # noqa: S104 - nothing is bound
)
def test_an_address_that_is_no_single_board_is_dropped(address: str) -> None:
    assert usable_addresses([address], loopback_only=False) == ()


def test_loopback_only_leaves_loopback_alone() -> None:
    addresses = ["192.0.2.9", "127.0.0.1", "127.9.9.9", "::1", "fe80::1%1", "::ffff:192.0.2.9", "10.42.0.7"]
    assert usable_addresses(addresses, loopback_only=True) == ("127.0.0.1", "127.9.9.9", "::1")


@pytest.mark.parametrize(
    ("full_name", "name"),
    [
        ("ESP8266_1_2._http._tcp.local.", "ESP8266_1_2"),
        ("Anne's printer. Really._http._tcp.local.", "Anne's printer. Really"),
        ("shout._HTTP._TCP.LOCAL.", "shout"),
        ("_http._tcp.local.", None),
        ("._http._tcp.local.", None),
        ("x._ipp._tcp.local.", None),
        ("", None),
    ],
)
def test_the_instance_is_what_stands_before_the_service(full_name: str, name: str | None) -> None:
    assert instance_name(full_name) == name


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=80))
def test_no_name_can_break_the_parsing(text: str) -> None:
    assert instance_name(f"{text}._http._tcp.local.") == (text or None)
    instance_name(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("all", None),
        ("ALL", None),
        ("10.42.0.1, all", None),
        ("10.42.0.1", ("10.42.0.1",)),
        (" 10.42.0.1 , fe80::1%wlan0,", ("10.42.0.1", "fe80::1%wlan0")),
    ],
)
def test_the_interfaces_are_all_or_those_named(text: str, expected: tuple[str, ...] | None) -> None:
    assert interfaces(Settings(mdns_interfaces=text)) == expected


def test_an_interface_that_is_no_address_names_the_variable_and_the_word() -> None:
    with pytest.raises(SettingError, match=r"ENM_MDNS_INTERFACES has 'wlan0'"):
        interfaces(Settings(mdns_interfaces="10.42.0.1,wlan0"))
