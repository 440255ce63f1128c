"""Nordic DFU packages: read in every form there was, and refused where anything in them is not right."""

from __future__ import annotations

import hashlib
import json
import struct
from typing import Any

import pytest

from enmctl.errors import FirmwareError
from enmctl.firmware.nordic import NordicImage, Protocol, Sizes, read_package, read_pair
from enmctl.firmware.nordic_boards import suits
from enmctl.firmware.nordic_init import LegacyInit, MicrobitInit, SecureInit, crc16, read_init
from enmctl.firmware.nordic_manifest import Role
from enmctl.firmware.targets import Target
from tests.logic.firmware.made import (
    V1_BASE,
    V2_BASE,
    content,
    legacy_init,
    microbit_init,
    number,
    package,
    program,
    secure_init,
    thin,
    zipped,
)

APP = program(V1_BASE, 2048)
M4 = program(0x26000, 2048, old=False)
LEGACY = package(APP, legacy_init(APP))
SECURE = package(M4, secure_init(M4))


def only(data: bytes) -> NordicImage:
    (image,) = read_package(data)
    return image


def reason(data: bytes) -> str:
    with pytest.raises(FirmwareError) as caught:
        read_package(data)
    assert caught.value.remedy
    return caught.value.reason


def manifest(**roles: Any) -> bytes:
    return json.dumps({"manifest": roles}).encode()


def test_the_crc_is_the_one_of_the_definition() -> None:
    assert crc16(b"123456789") == 0x29B1


def test_a_legacy_package_gives_its_application_and_init_packet() -> None:
    image = only(LEGACY)
    assert (image.role, image.data, image.protocol) == (Role.APPLICATION, APP, Protocol.LEGACY)
    assert image.init_packet == legacy_init(APP)
    assert image.sizes == Sizes(application=len(APP))
    assert not image.system
    assert isinstance(image.init, LegacyInit)
    assert (image.init.crc16, image.init.softdevices) == (crc16(APP), (0xFFFE,))


def test_a_secure_package_gives_its_application_and_init_packet() -> None:
    image = only(SECURE)
    assert (image.role, image.data, image.protocol) == (Role.APPLICATION, M4, Protocol.SECURE)
    assert isinstance(image.init, SecureInit)
    assert (image.init.firmware_version, image.init.hardware_version) == (7, 52)
    assert image.init.softdevices == (0xA8, 0xCAFE)
    assert image.init.sha256 == hashlib.sha256(M4).digest()
    assert image.init.signed


@pytest.mark.parametrize("options", [{"packed": False}, {"signed": False}, {"softdevices": ()}, {"hardware": 1 << 31}])
def test_other_shapes_of_a_secure_init_packet_are_read(options: dict[str, Any]) -> None:
    init = read_init(secure_init(M4, **options))
    assert isinstance(init, SecureInit)
    assert init.signed == options.get("signed", True)
    assert init.softdevices == options.get("softdevices", (0xA8, 0xCAFE))


@pytest.mark.parametrize(
    ("tail", "signed"),
    [
        (struct.pack("<IH", 0, crc16(APP)), False),
        (struct.pack("<II", 1, len(APP)) + hashlib.sha256(APP).digest(), False),
        (struct.pack("<II", 2, len(APP)) + hashlib.sha256(APP).digest() + bytes(64), True),
    ],
)
def test_extended_legacy_init_packets_are_verified(tail: bytes, signed: bool) -> None:
    image = only(package(APP, legacy_init(APP, (0x64, 0x67), tail=tail)))
    assert isinstance(image.init, LegacyInit)
    assert (image.init.softdevices, image.init.signed) == ((0x64, 0x67), signed)
    other = program(V1_BASE, 2048, seed=2)
    assert reason(package(other, legacy_init(APP, tail=tail))) in {"bad-crc", "bad-hash"}
    assert reason(package(APP + APP, legacy_init(APP, tail=tail))) in {"bad-crc", "bad-size"}


def test_a_micro_bit_package_is_known_by_its_init_packet() -> None:
    data = program(V2_BASE, 2048, old=False)
    for hashed in (True, False):
        image = only(package(data, microbit_init(data, hashed=hashed)))
        assert isinstance(image.init, MicrobitInit)
        assert image.protocol == Protocol.SECURE
        assert suits(image).targets == (Target.MICROBIT_V2,)
    assert reason(package(data[:-4], microbit_init(data))) == "bad-size"
    assert reason(package(data[:-4] + b"abcd", microbit_init(data))) == "bad-hash"
    assert reason(package(data, microbit_init(data)[:-1])) == "bad-init"
    assert reason(package(data, microbit_init(data), role="bootloader")) == "wrong-role"


@pytest.mark.parametrize(("role", "kind"), [("softdevice", 1), ("bootloader", 2)])
def test_system_images_are_known_as_such(role: str, kind: int) -> None:
    sizes = (len(M4), 0, 0) if kind == 1 else (0, len(M4), 0)
    image = only(package(M4, secure_init(M4, kind=kind, sizes=sizes), role=role))
    assert image.system
    assert image.sizes == Sizes(*sizes)
    assert only(package(M4, legacy_init(M4), role=role)).system
    assert reason(package(M4, secure_init(M4), role=role)) == "wrong-role"
    assert reason(package(M4, secure_init(M4, kind=kind), role=role)) == "bad-size"


@pytest.mark.parametrize("place", ["top", "metadata", "init"])
def test_a_bundle_is_as_long_as_its_two_parts(place: str) -> None:
    sizes = {"sd_size": 1024, "bl_size": 1024}
    extras: dict[str, dict[str, Any]] = {"top": sizes, "metadata": {"info_read_only_metadata": sizes}, "init": {}}
    extra = extras[place]
    init = secure_init(M4, kind=3, sizes=(1024, 1024, 0)) if place != "top" else legacy_init(M4)
    image = only(package(M4, init, role="softdevice_bootloader", extra=extra))
    assert image.sizes == Sizes(1024, 1024)
    wrong = {"sd_size": 1024, "bl_size": 1020}
    assert reason(package(M4, init, role="softdevice_bootloader", extra=wrong)) == "bad-size"
    if place == "top":
        assert reason(package(M4, init, role="softdevice_bootloader")) == "bad-size"


def test_the_system_comes_before_the_application() -> None:
    files = {"bin_file": "a.bin", "dat_file": "a.dat"}
    system = {"bin_file": "b.bin", "dat_file": "b.dat"}
    members = {
        "manifest.json": manifest(application=files, bootloader=system),
        "__MACOSX/": b"",
        "__MACOSX/._a.bin": b"junk",
        ".DS_Store": b"junk",
        "a.bin": M4,
        "a.dat": secure_init(M4),
        "b.bin": M4,
        "b.dat": secure_init(M4, kind=2, sizes=(0, len(M4), 0)),
        "more/a.bin": b"another",
    }
    assert [image.role for image in read_package(zipped(members))] == [Role.BOOTLOADER, Role.APPLICATION]
    mixed = zipped({**members, "a.bin": APP, "a.dat": legacy_init(APP)})
    assert reason(mixed) == "mixed"


def test_packages_from_before_the_manifest_are_read_by_the_names_in_them() -> None:
    old = {"application.bin": APP, "application.dat": legacy_init(APP)}
    assert only(zipped(old)).data == APP
    assert only(zipped({"application.bin": APP})).init is None
    both = {**old, "softdevice.bin": M4, "bootloader.bin": APP, "system.dat": legacy_init(M4 + APP)}
    system, application = read_package(zipped(both))
    assert (system.role, system.sizes) == (Role.SOFTDEVICE_BOOTLOADER, Sizes(len(M4), len(APP)))
    assert application.role == Role.APPLICATION
    for name in ("softdevice", "bootloader"):
        assert only(zipped({f"{name}.bin": M4, "system.dat": legacy_init(M4)})).role == name
        assert reason(zipped({f"{name}.bin": M4})) == "no-init"


def test_a_single_image_of_any_name_is_the_application() -> None:
    assert only(zipped({"micro-bit.bin": APP, "micro-bit.dat": legacy_init(APP)})).init is not None
    assert reason(zipped({"one.bin": APP, "two.bin": APP})) == "no-images"


def test_hex_files_in_old_packages_are_read_without_the_master_boot_record() -> None:
    text = thin({0: b"boot record", V1_BASE: APP, 0x10001014: b"\0\0\0\0"})
    assert only(zipped({"application.hex": text, "application.dat": legacy_init(APP)})).data == APP
    assert reason(zipped({"application.hex": thin({0: b"boot record"})})) == "empty"
    assert reason(zipped({"application.hex": thin({0x1000: b"a", 0x900000: b"b"})})) == "too-big"
    assert reason(zipped({"application.hex": b":"})) == "bad-record"


def test_the_pair_of_files_is_verified_like_a_package() -> None:
    assert read_pair(APP, legacy_init(APP)).data == APP
    with pytest.raises(FirmwareError) as caught:
        read_pair(APP, legacy_init(M4))
    assert caught.value.reason == "bad-crc"


@pytest.mark.parametrize(
    ("data", "init", "expected"),
    [
        (b"", legacy_init(b""), "empty"),
        (APP[:-1], legacy_init(APP[:-1]), "bad-size"),
        (bytes(1024 * 1024 + 4), b"", "too-big"),
        (APP, legacy_init(M4), "bad-crc"),
        (APP, b"", "bad-init"),
        (APP, b"\0", "bad-init"),
        (APP, legacy_init(APP) + b"\0", "bad-init"),
        (APP, legacy_init(APP, range(100)), "bad-init"),
        (APP, legacy_init(APP, tail=struct.pack("<IH", 9, 0)), "bad-init"),
        (M4, secure_init(M4) + b"\0", "bad-init"),
        (M4, secure_init(APP), "bad-hash"),
        (M4, secure_init(M4, sha256=hashlib.sha256(M4).digest()), "bad-hash"),
        (M4, secure_init(M4, sha256=b"short"), "bad-init"),
        (M4, secure_init(M4, kind=5), "bad-init"),
        (M4, secure_init(M4, kind=4), "wrong-role"),
        (M4, secure_init(M4, sizes=(0, 0, 8)), "bad-size"),
        (M4, secure_init(M4, sizes=(4, 0, len(M4))), "bad-size"),
        (M4, secure_init(M4, softdevices=range(600)), "bad-init"),
        (M4, content(1, number(1, 2) + content(2, b"")), "bad-init"),
        (M4, content(1, number(1, 1) + content(2, number(7, 4))), "bad-init"),
        (M4, content(1, number(1, 1) + number(1, 1)), "bad-init"),
    ],
)
def test_an_image_that_does_not_fit_its_init_packet_is_refused(data: bytes, init: bytes, expected: str) -> None:
    assert reason(package(data, init)) == expected


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"manifest": 1}',
        b"[" * 100_000,
        b'{"manifest": {"application": []}}',
        b'{"manifest": {"application": {"bin_file": 1}}}',
        b'{"manifest": {"application": {"dat_file": "image.dat"}}}',
        b'{"manifest": {"application": {"bin_file": "image.bin", "dat_file": 7}}}',
        b'{"manifest": {"application": {"bin_file": "image.bin", "init_packet_data": 7}}}',
        b'{"manifest": {"application": {"bin_file": "image.bin"}, "bootloader": {"bin_file": "image.bin"}}}',
        b'{"manifest": {"softdevice_bootloader": {"bin_file": "image.bin"}, "bootloader": {"bin_file": "b.bin"}}}',
        b'{"manifest": {"softdevice_bootloader": {"bin_file": "image.bin", "sd_size": "1", "bl_size": 1}}}',
        b'{"manifest": {"softdevice_bootloader": {"bin_file": "image.bin", "sd_size": -4, "bl_size": true}}}',
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(text: bytes) -> None:
    assert reason(zipped({"manifest.json": text, "image.bin": APP, "image.dat": legacy_init(APP)})) == "bad-manifest"


@pytest.mark.parametrize("name", ["../image.bin", "/etc/passwd", "nothing.bin", "sub/image.bin", "", "x" * 5000])
def test_a_manifest_names_only_what_is_at_the_top_of_its_package(name: str) -> None:
    text = manifest(application={"bin_file": name, "dat_file": "image.dat"})
    members = {"manifest.json": text, "image.bin": APP, "image.dat": legacy_init(APP), "sub/image.bin": APP}
    assert reason(zipped(members)) == "missing-member"


def test_a_manifest_that_says_something_else_than_the_init_packet_is_refused() -> None:
    said = {
        "application_version": 0xFFFFFFFF,
        "device_revision": 0xFFFF,
        "device_type": 0xFFFF,
        "firmware_crc16": crc16(APP),
        "softdevice_req": [0xFFFE],
    }
    assert only(package(APP, legacy_init(APP), extra={"init_packet_data": said})).data == APP
    for field in said:
        assert reason(package(APP, legacy_init(APP), extra={"init_packet_data": {**said, field: 1}})) == "bad-manifest"


def test_a_manifest_may_start_with_a_mark_and_hold_what_nobody_knows() -> None:
    text = b"\xef\xbb\xbf" + manifest(application={"bin_file": "a.bin", "new": {"x": 1}}, other=[1], softdevice=None)
    assert only(zipped({"manifest.json": text, "a.bin": APP})).data == APP
