"""Firmware files of every kind, as they lie on a disk: what is told of them."""

from __future__ import annotations

import hashlib
import io
import struct
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enmctl.errors import FirmwareError
from enmctl.firmware.hex import MOST_BYTES
from enmctl.firmware.inspect import CONTENTS_MOST, Inspection, Kind, inspect
from enmctl.firmware.nordic import Protocol
from enmctl.firmware.nordic_manifest import Role
from enmctl.firmware.targets import Target
from enmctl.simulator.images import esp8266_image
from tests.logic.firmware.made import (
    UICR,
    V1_BASE,
    V1_BOARD,
    V1_END,
    V2_BASE,
    V2_BOARD,
    crc16,
    legacy_init,
    microbit_init,
    package,
    program,
    refused_at_most,
    secure_init,
    thin,
    universal,
    universal_blocks,
    v1_pieces,
    v2_pieces,
    zipped,
)

APP = program(V1_BASE, 2048)
M4 = program(0x26000, 2048, old=False)


def seen(folder: Path, data: bytes, name: str = "file") -> Inspection:
    place = folder / name
    place.write_bytes(data)
    found = inspect(place)
    assert (found.name, found.size, found.sha256) == (name, len(data), hashlib.sha256(data).hexdigest())
    assert found.sendable == bool(found.payloads)
    assert found.payloads or found.refusals
    return found


def reason(found: Inspection) -> str:
    assert not found.sendable
    (refusal,) = found.refusals
    assert refusal.message
    assert refusal.remedy
    return refusal.reason


@pytest.mark.parametrize("layout", [universal, universal_blocks])
def test_a_universal_hex_is_for_both_families(tmp_path: Path, layout: object) -> None:
    assert callable(layout)
    found = seen(tmp_path, layout([(V1_BOARD, v1_pieces()), (V2_BOARD, v2_pieces())]))
    assert found.kind == Kind.UNIVERSAL_HEX
    assert not found.refusals
    v1, v2 = found.payloads
    old, new = v1_pieces()[V1_BASE], v2_pieces()[V2_BASE]
    assert (v1.targets, v1.protocol, v1.address) == ((Target.MICROBIT_V1,), Protocol.LEGACY, V1_BASE)
    assert (v1.size, v1.sha256, v1.crc16) == (len(old), hashlib.sha256(old).hexdigest(), crc16(old))
    assert v1.init_packet == legacy_init(old, (0x64,)).hex()
    assert (v2.targets, v2.protocol, v2.address) == ((Target.MICROBIT_V2,), Protocol.SECURE, V2_BASE)
    assert (v2.sha256, v2.init_packet) == (hashlib.sha256(new).hexdigest(), microbit_init(new).hex())
    assert {piece.what for piece in found.contents} == {"micro:bit V1", "micro:bit V2"}


def test_a_thin_hex_is_for_one_family_and_says_why_not_for_the_other(tmp_path: Path) -> None:
    found = seen(tmp_path, thin({**v1_pieces(64), 0x3B900: b"bond"}) + b"source")
    assert [payload.targets for payload in found.payloads] == [(Target.MICROBIT_V1,)]
    assert [(refusal.targets, refusal.reason) for refusal in found.refusals] == [((Target.MICROBIT_V2,), "wrong-board")]
    assert any("bonds" in note for note in found.payloads[0].notes)
    assert "6 bytes" in found.notes[0]
    assert found.contents[1].address == V1_BASE


def test_a_hex_for_no_micro_bit_is_told_as_that(tmp_path: Path) -> None:
    assert reason(seen(tmp_path, universal([(0x1234, v1_pieces())]))) == "unknown-board"
    assert reason(seen(tmp_path, thin(v1_pieces())[:-5])) == "bad-record"
    nothing = seen(tmp_path, thin({0: bytes(64), UICR: struct.pack("<I", V1_END)}))
    assert [refusal.reason for refusal in nothing.refusals] == ["no-application", "wrong-board"]


def test_of_a_scattered_hex_only_some_pieces_are_listed(tmp_path: Path) -> None:
    found = seen(tmp_path, thin({**v1_pieces(), **{0x30000 + place * 16: b"ab" for place in range(100)}}))
    assert len(found.contents) == CONTENTS_MOST
    assert "more pieces" in found.notes[0]
    assert found.sendable


def test_a_package_tells_each_image_in_the_order_of_sending(tmp_path: Path) -> None:
    members = {
        "application.bin": M4,
        "application.dat": secure_init(M4, signed=False),
        "bootloader.bin": M4,
        "system.dat": secure_init(M4, kind=2, sizes=(0, len(M4), 0)),
    }
    found = seen(tmp_path, zipped(members))
    assert found.kind == Kind.NORDIC_PACKAGE
    system, application = found.payloads
    assert (system.role, system.system, application.role, application.system) == (
        Role.BOOTLOADER,
        True,
        Role.APPLICATION,
        False,
    )
    assert (application.softdevices, application.hardware_version) == ((0xA8, 0xCAFE), 52)
    assert application.init_packet == members["application.dat"].hex()
    assert "not signed" in application.notes[0]
    assert "replaces the bootloader" in system.notes[0]


def test_a_package_is_refused_with_its_reason(tmp_path: Path) -> None:
    assert reason(seen(tmp_path, package(APP, legacy_init(M4)))) == "bad-crc"
    assert reason(seen(tmp_path, package(bytes(64), legacy_init(bytes(64))))) == "no-vectors"
    assert reason(seen(tmp_path, b"PK\x03\x04 and nothing more")) == "damaged"


def test_packages_without_checks_say_so(tmp_path: Path) -> None:
    (bare,) = seen(tmp_path, zipped({"application.bin": APP})).payloads
    assert bare.init_packet is None
    assert "no init packet" in bare.notes[0]
    data = program(V2_BASE, 2048, old=False)
    (unhashed,) = seen(tmp_path, package(data, microbit_init(data, hashed=False))).payloads
    assert "no hash" in unhashed.notes[0]


def test_a_bin_is_taken_with_the_dat_beside_it(tmp_path: Path) -> None:
    kit = program(0x1B000)
    (tmp_path / "kit.dat").write_bytes(legacy_init(kit))
    found = seen(tmp_path, kit, "kit.bin")
    assert found.kind == Kind.BARE_IMAGE
    assert found.payloads[0].targets == (Target.NRF51822DK,)
    assert found.payloads[0].init_packet == legacy_init(kit).hex()
    assert "kit.dat" in found.notes[0]
    (tmp_path / "kit.dat").write_bytes(legacy_init(APP))
    assert reason(seen(tmp_path, kit, "kit.bin")) == "bad-crc"
    (tmp_path / "kit.dat").write_bytes(bytes(1000))
    assert reason(seen(tmp_path, kit, "kit.bin")) == "bad-init"


def test_a_bin_alone_is_enough_for_a_micro_bit(tmp_path: Path) -> None:
    (v1,) = seen(tmp_path, APP[:-1], "v1.bin").payloads
    assert (v1.targets, v1.size, v1.address) == ((Target.MICROBIT_V1,), len(APP), V1_BASE)
    assert v1.init_packet == legacy_init(APP[:-1] + b"\xff", (0x64,)).hex()
    data = program(V2_BASE, 2048, old=False)
    (v2,) = seen(tmp_path, data, "v2.bin").payloads
    assert (v2.targets, v2.init_packet) == ((Target.MICROBIT_V2,), microbit_init(data).hex())


@pytest.mark.parametrize("data", [program(0x1B000), M4, program(V1_BASE, stack=0x20008000)])
def test_a_bin_alone_is_not_enough_for_other_boards(tmp_path: Path, data: bytes) -> None:
    assert reason(seen(tmp_path, data, "other.bin")) == "no-init"


def test_an_esp8266_image_is_told_with_its_version_and_segments(tmp_path: Path) -> None:
    data = esp8266_image(fw="1.2.3", size=8192, seed=1)
    found = seen(tmp_path, data)
    assert found.kind == Kind.ESP8266_IMAGE
    (payload,) = found.payloads
    assert (payload.targets, payload.protocol, payload.size) == ((Target.ESP8266,), Protocol.HTTP, len(data))
    assert (payload.sha256, payload.init_packet) == (found.sha256, None)
    assert "its version is 1.2.3" in payload.notes
    assert found.contents[0].what == "boot loader, segment 1"
    assert reason(seen(tmp_path, data[:5000])) == "truncated"


def tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("application.zip"))
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "name", "expected"),
    [
        (b"", "x.hex", "empty"),
        (b"hello", "x.hex", "not-firmware"),
        (b"\x7fELF....", "x.elf", "elf"),
        (b"UF2\nWQ]\x9e", "x.uf2", "uf2"),
        (b"\x1f\x8b....", "x.gz", "gzip"),
        (b"<html>", "x.hex", "html"),
        (tar(), "binary.tar", "tar"),
        (legacy_init(APP), "x.dat", "no-image"),
    ],
)
def test_what_is_no_firmware_is_told_as_what_it_is(tmp_path: Path, data: bytes, name: str, expected: str) -> None:
    found = seen(tmp_path, data, name)
    assert (found.kind, reason(found)) == (Kind.UNKNOWN, expected)


@pytest.mark.parametrize(("name", "expected"), [("missing", "no-file"), ("folder", "no-file"), ("large", "too-big")])
def test_what_cannot_be_read_is_an_error(tmp_path: Path, name: str, expected: str) -> None:
    (tmp_path / "folder").mkdir()
    with (tmp_path / "large").open("wb") as large:
        large.truncate(MOST_BYTES + 1)
    with pytest.raises(FirmwareError) as caught:
        inspect(tmp_path / name)
    assert (caught.value.reason, bool(caught.value.remedy)) == (expected, True)


@given(st.binary(max_size=600), st.sampled_from([b"", b":10000000", b"PK\x03\x04", b"\xe9", APP[:32], M4[:32]]))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_file_is_told_or_refused(tmp_path: Path, data: bytes, start: bytes) -> None:
    with refused_at_most():
        seen(tmp_path, start + data, "x.bin")
