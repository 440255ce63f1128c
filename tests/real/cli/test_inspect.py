"""``enmctl inspect``: what a person, and what a script is told of a firmware file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from enmctl.errors import ExitCode
from enmctl.simulator.images import esp8266_image
from tests.logic.firmware.made import (
    V1_BASE,
    V1_BOARD,
    V2_BOARD,
    crc16,
    legacy_init,
    package,
    program,
    secure_init,
    thin,
    universal,
    v1_pieces,
    v2_pieces,
)
from tests.real.cli.rig import Run, document

APP = program(V1_BASE, 2048)


def test_a_script_gets_all_that_would_be_sent(enmctl: Run, folder: Path) -> None:
    (folder / "heart.hex").write_bytes(universal([(V1_BOARD, v1_pieces()), (V2_BOARD, v2_pieces())]))
    found = document(enmctl("inspect", "heart.hex", "--json"))
    assert (found["file"], found["kind"], found["sendable"]) == ("heart.hex", "universal-hex", True)
    v1, v2 = found["payloads"]
    data = v1_pieces()[V1_BASE]
    assert v1 == {
        "boards": ["microbit-v1"],
        "protocol": "legacy-dfu",
        "role": "application",
        "system": False,
        "address": V1_BASE,
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "crc16": crc16(data),
        "init_packet": legacy_init(data, (0x64,)).hex(),
        "softdevices": [],
        "hardware_version": None,
        "notes": [],
    }
    assert v2["boards"] == ["microbit-v2"]
    assert found["refusals"] == found["notes"] == []
    assert found["contents"][1] == {"what": "micro:bit V1", "address": V1_BASE, "size": len(data)}


def test_a_person_gets_a_page(enmctl: Run, folder: Path) -> None:
    (folder / "heart.hex").write_bytes(thin(v1_pieces()))
    result = enmctl("inspect", "heart.hex")
    assert result.exit_code == ExitCode.DONE
    words = [line.split(maxsplit=1) for line in result.stdout.splitlines()]
    assert ["kind", "intel-hex"] in words
    assert ["address", "0x18000"] in words
    assert "to send to   micro:bit V1\n" in result.stdout
    assert "micro:bit V2  it is built for the micro:bit V1, not for the V2\n" in result.stdout
    assert not result.stderr


@pytest.mark.parametrize(
    ("name", "data", "boards"),
    [
        ("app.zip", package(APP, legacy_init(APP)), ["microbit-v1"]),
        ("app.bin", APP, ["microbit-v1"]),
        ("esp.bin", esp8266_image(fw="1", size=8192, seed=1), ["esp8266"]),
    ],
)
def test_every_kind_of_file_is_looked_into(
    enmctl: Run, folder: Path, name: str, data: bytes, boards: list[str]
) -> None:
    (folder / name).write_bytes(data)
    (payload,) = document(enmctl("inspect", name, "--json"))["payloads"]
    assert payload["boards"] == boards
    words = [line.split() for line in enmctl("inspect", name).stdout.splitlines()]
    assert words.count(["bytes", str(payload["size"])]) == (2 if payload["size"] == len(data) else 1)
    assert ["crc16", f"0x{payload['crc16']:04X}"] in words


def test_what_a_package_demands_of_a_board_is_shown(enmctl: Run, folder: Path) -> None:
    data = program(0x26000, 2048, old=False)
    (folder / "app.zip").write_bytes(package(data, secure_init(data, softdevices=(0, 0xFFFE, 0xA8))))
    text = enmctl("inspect", "app.zip").stdout
    assert "SoftDevice   none or any or 0x00A8\n" in text
    assert "hardware     52\n" in text
    assert "to send to   nRF52 boards\n" in text


def test_a_file_for_no_board_is_shown_and_refused_with_what_is_wrong_with_it(enmctl: Run, folder: Path) -> None:
    pieces = {0: program(0, 64), 0x100010C0: bytes.fromhex("7cb0ee17")}
    (folder / "python.hex").write_bytes(thin(pieces))
    result = enmctl("inspect", "python.hex")
    assert result.exit_code == ExitCode.FILE
    assert "intel-hex" in result.stdout
    assert "nothing in python.hex can be sent to any board, it is MicroPython" in result.stderr
    assert "→ copy it over USB" in result.stderr
    as_json = enmctl("inspect", "python.hex", "--json")
    assert as_json.exit_code == ExitCode.FILE
    found = json.loads(as_json.stdout)
    assert not found["sendable"]
    assert [(refusal["boards"], refusal["reason"]) for refusal in found["refusals"]] == [
        (["microbit-v1"], "no-softdevice"),
        (["microbit-v2"], "wrong-board"),
    ]
    assert json.loads(as_json.stderr)["reason"] == "no-softdevice"


def test_a_damaged_file_is_told_with_the_place(enmctl: Run, folder: Path) -> None:
    text = bytearray(thin(v1_pieces()))
    text[40] ^= 1
    (folder / "heart.hex").write_bytes(text)
    result = enmctl("inspect", "heart.hex")
    assert result.exit_code == ExitCode.FILE
    assert "line 2" in result.stderr


def test_a_file_that_is_not_there_is_an_error_of_the_file(enmctl: Run) -> None:
    result = enmctl("inspect", "missing.hex")
    assert (result.exit_code, result.stdout) == (ExitCode.FILE, "")
    assert "is not there" in result.stderr


def test_a_word_is_needed(enmctl: Run) -> None:
    assert enmctl("inspect").exit_code == ExitCode.USAGE
