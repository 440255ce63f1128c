from __future__ import annotations

import os
from pathlib import Path

import pytest

from enmctl.boards.naming import recognise
from enmctl.radio.hotspot.leases import Leases, parse
from enmctl.radio.mdns import MdnsService

NOW = 1_700_000_000.0
LASTS, IS_OVER = 1_700_000_060, 1_699_999_999
NAME = "ESP8266_1234567890_15602487"


def line(name: str = NAME, expiry: object = LASTS, address: str = "10.42.0.17") -> str:
    return f"{expiry} 5c:cf:7f:00:00:01 {address} {name} 01:5c:cf:7f:00:00:01\n"


def test_a_board_is_recognised_by_the_name_that_it_asked_with() -> None:
    [client] = parse(line(), NOW)
    board = recognise(client, "esp8266")
    assert board is not None
    assert (board.key, board.addresses, board.port) == ((1234567890, "15602487"), ("10.42.0.17",), 80)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        line("*"),
        line(expiry=IS_OVER),
        line(expiry=-5),
        line(expiry="9" * 5000),
        line(expiry="soon"),
        line(address="here"),
        line(address="fe80::1"),
        "1700000060 aa:bb 10.42.0.17\n",
        "\0\0\0\n",
    ],
)
def test_what_is_no_client_with_a_name_and_a_lease_is_left_out(text: str) -> None:
    assert parse(text, NOW) == []
    assert [client.name for client in parse(text + line("other"), NOW)] == ["other"]


def test_a_lease_for_ever_lasts() -> None:
    assert len(parse(line(expiry=0), NOW)) == 1


def test_the_file_is_read_anew_when_it_changed_and_leases_end_though_it_did_not(tmp_path: Path) -> None:
    clock = [NOW]
    leases = Leases("wlan0", folders=[tmp_path / "missing", tmp_path], now=lambda: clock[0])
    assert leases.read() == []
    file = tmp_path / "dnsmasq-wlan0.leases"
    file.write_text(line())
    assert leases.read() == [MdnsService(NAME, NAME, 80, ("10.42.0.17",))]
    file.write_text(line() + line("other", LASTS + 100, "10.42.0.18"))
    os.utime(file, ns=(1, 1))
    assert [client.name for client in leases.read()] == [NAME, "other"]
    clock[0] = LASTS
    assert [client.name for client in leases.read()] == ["other"]
    file.unlink()
    assert leases.read() == []


def test_another_interface_s_leases_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "dnsmasq-wlan1.leases").write_text(line())
    assert Leases("wlan0", folders=[tmp_path]).read() == []


def test_that_there_is_no_lease_file_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    leases = Leases("wlan0", folders=[tmp_path])
    assert leases.read() == leases.read() == []
    assert caplog.text.count(f"{tmp_path / 'dnsmasq-wlan0.leases'} cannot be read") == 1
