"""Firmware for boards with a Nordic chip, from files and from the folders of assets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from enmctl.boards.manner import ALLOW_SYSTEM
from enmctl.boards.nordic_firmware import NordicFirmware, read_nordic
from enmctl.errors import FirmwareError
from enmctl.firmware.nordic_manifest import Role
from enmctl.firmware.targets import Target
from tests.logic.firmware.made import (
    V1_BASE,
    V1_BOARD,
    V1_END,
    V2_BASE,
    V2_BOARD,
    V2_END,
    legacy_init,
    microbit_init,
    package,
    program,
    thin,
    universal,
    v1_pieces,
    v2_pieces,
    zipped,
)

MICROBIT = (Target.MICROBIT_V1, Target.MICROBIT_V2)
V1_IMAGE, V2_IMAGE = program(V1_BASE), program(V2_BASE, old=False, stack=0x20020000)


def read(path: Path, **config: str) -> NordicFirmware:
    return read_nordic(path, "microbit", MICROBIT, config)


def asset(folder: Path, **files: bytes) -> Path:
    folder.mkdir()
    for name, data in files.items():
        (folder / name.replace("__", ".")).write_bytes(data)
    return folder


def test_a_universal_hex_has_one_program_for_each_kind_of_board(tmp_path: Path) -> None:
    file = tmp_path / "program.hex"
    file.write_bytes(universal([(V1_BOARD, v1_pieces()), (V2_BOARD, v2_pieces(8192))]))
    firmware = read(file)
    (one,), (two,) = (firmware.for_target(target) for target in MICROBIT)
    assert (len(one.data), len(two.data)) == (4096, 8192)
    assert (firmware.data, firmware.size) == (two.data, 8192)


def test_a_program_for_one_kind_tells_why_another_gets_none(tmp_path: Path) -> None:
    file = tmp_path / "program.hex"
    file.write_bytes(thin(v1_pieces()))
    firmware = read(file)
    assert firmware.for_target(Target.MICROBIT_V1)[0].data == V1_IMAGE
    with pytest.raises(FirmwareError, match="micro:bit V2") as refused:
        firmware.for_target(Target.MICROBIT_V2)
    assert refused.value.reason == "wrong-board"


@pytest.mark.parametrize("manifest", [True, False])
def test_the_originals_asset_holds_a_package_in_a_package(tmp_path: Path, manifest: bool) -> None:
    init = legacy_init(V1_IMAGE, (0x64,))
    inner = package(V1_IMAGE, init) if manifest else zipped({"micro-bit.bin": V1_IMAGE, "micro-bit.dat": init})
    firmware = read(asset(tmp_path / "asset", application__zip=inner))
    (payload,) = firmware.for_target(Target.MICROBIT_V1)
    assert (payload.data, payload.init) == (V1_IMAGE, init)


def test_an_asset_may_hold_a_file_for_each_kind(tmp_path: Path) -> None:
    both = asset(
        tmp_path / "asset",
        v1__hex=thin(v1_pieces()),
        v2__zip=package(V2_IMAGE, microbit_init(V2_IMAGE)),
        README__md=b"for people",
    )
    firmware = read(both)
    assert firmware.for_target(Target.MICROBIT_V1)[0].data == V1_IMAGE
    assert firmware.for_target(Target.MICROBIT_V2)[0].data == V2_IMAGE


def test_two_files_for_one_kind_are_refused_for_nothing_tells_which_is_meant(tmp_path: Path) -> None:
    two = asset(tmp_path / "asset", old__hex=thin(v1_pieces()), new__hex=thin(v1_pieces(8192)))
    with pytest.raises(FirmwareError, match=r"new\.hex and old\.hex both are for a micro:bit V1"):
        read(two)


def test_an_asset_without_firmware_says_what_is_in_it(tmp_path: Path) -> None:
    with pytest.raises(FirmwareError, match=r"README\.md") as refused:
        read(asset(tmp_path / "asset", README__md=b"for people"))
    assert refused.value.reason == "no-firmware"


def test_a_file_for_other_boards_says_for_which(tmp_path: Path) -> None:
    file = tmp_path / "dk.zip"
    image = program(0x1B000, stack=0x20004000)
    file.write_bytes(package(image, legacy_init(image, (0x87,))))
    with pytest.raises(FirmwareError, match="nRF51822-DK"):
        read(file)
    assert read_nordic(file, "nrf51822dk", [Target.NRF51822DK], {}).payloads


def test_an_image_that_may_make_a_board_unreachable_is_sent_only_where_that_is_allowed_by_name(tmp_path: Path) -> None:
    file = tmp_path / "bootloader.zip"
    image = program(0x3C000, stack=0x20002000)
    file.write_bytes(package(image, legacy_init(image), role="bootloader"))
    with pytest.raises(FirmwareError, match="--allow-system") as refused:
        read_nordic(file, "plugin", [Target.NRF51], {})
    assert refused.value.reason == "system"
    assert read_nordic(file, "plugin", [Target.NRF51], {ALLOW_SYSTEM: "1"}).payloads[0].system


DK_IMAGE = program(0x1B000, stack=0x20004000)
OWN_PROGRAMS = {"microbit": (MICROBIT, V1_IMAGE), "nrf51822dk": ((Target.NRF51822DK,), DK_IMAGE)}
PARTS = (0x600, 0x200)
"""Bytes of a SoftDevice and of a bootloader; the SoftDevice begins like no program, so that no chip is told."""

SYSTEM = b"\x11" * PARTS[0] + program(V1_END, PARTS[1])


def bundle(*programs: bytes, system: bytes = SYSTEM, role: str = "softdevice_bootloader") -> bytes:
    """A package with something of the system, and a program where there is one."""
    sizes = {"sd_size": PARTS[0], "bl_size": PARTS[1]} if role == "softdevice_bootloader" else {}
    manifest: dict[str, Any] = {role: {"bin_file": "system.bin", "dat_file": "system.dat", **sizes}}
    members = {"system.bin": system, "system.dat": legacy_init(system)}
    for image in programs:
        manifest["application"] = {"bin_file": "program.bin", "dat_file": "program.dat"}
        members |= {"program.bin": image, "program.dat": legacy_init(image)}
    return zipped({"manifest.json": json.dumps({"manifest": manifest}).encode(), **members})


@pytest.mark.parametrize("board_type", OWN_PROGRAMS)
def test_a_program_that_comes_with_a_softdevice_is_never_sent_without_it(tmp_path: Path, board_type: str) -> None:
    targets, image = OWN_PROGRAMS[board_type]
    file = tmp_path / "bundle.zip"
    file.write_bytes(bundle(image))
    with pytest.raises(FirmwareError, match="--allow-system") as refused:
        read_nordic(file, board_type, targets, {})
    assert refused.value.reason == "system"
    firmware = read_nordic(file, board_type, targets, {ALLOW_SYSTEM: "1"})
    sent = firmware.for_target(targets[0])
    assert [(payload.role, payload.data) for payload in sent] == [
        (Role.SOFTDEVICE_BOOTLOADER, SYSTEM),
        (Role.APPLICATION, image),
    ]


def test_a_softdevice_that_comes_with_a_program_goes_to_the_boards_of_that_program_alone(tmp_path: Path) -> None:
    file = tmp_path / "bundle.zip"
    file.write_bytes(bundle(V1_IMAGE))
    firmware = read(file, **{ALLOW_SYSTEM: "1"})
    with pytest.raises(FirmwareError) as refused:
        firmware.for_target(Target.MICROBIT_V2)
    assert refused.value.reason == "wrong-board"
    with pytest.raises(FirmwareError) as refused:
        read_nordic(file, "nrf51822dk", [Target.NRF51822DK], {ALLOW_SYSTEM: "1"})
    assert refused.value.reason == "wrong-board"


@pytest.mark.parametrize(
    ("system", "kinds"),
    [
        (program(V1_END, 2048), {Target.MICROBIT_V1, Target.NRF51822DK}),
        (program(V2_END, 2048, old=False), {Target.MICROBIT_V2}),
        (b"\x11" * 2048, {Target.MICROBIT_V1, Target.MICROBIT_V2, Target.NRF51822DK}),
    ],
    ids=["nRF51", "nRF52", "not told"],
)
def test_a_system_alone_goes_to_the_boards_with_its_chip(tmp_path: Path, system: bytes, kinds: set[Target]) -> None:
    file = tmp_path / "system.zip"
    file.write_bytes(bundle(system=system, role="bootloader"))
    for board_type, (targets, _) in OWN_PROGRAMS.items():
        if not kinds & set(targets):
            with pytest.raises(FirmwareError, match="is for") as refused:
                read_nordic(file, board_type, targets, {ALLOW_SYSTEM: "1"})
            assert refused.value.reason == "wrong-board"
            continue
        with pytest.raises(FirmwareError, match="--allow-system"):
            read_nordic(file, board_type, targets, {})
        firmware = read_nordic(file, board_type, targets, {ALLOW_SYSTEM: "1"})
        for target in kinds & set(targets):
            assert [payload.data for payload in firmware.for_target(target)] == [system]
        for target in set(targets) - kinds:
            with pytest.raises(FirmwareError):
                firmware.for_target(target)


def test_a_package_of_which_a_part_is_for_no_board_or_another_chip_is_refused_whole(tmp_path: Path) -> None:
    file = tmp_path / "bundle.zip"
    file.write_bytes(bundle(bytes(4096)))
    with pytest.raises(FirmwareError) as refused:
        read(file, **{ALLOW_SYSTEM: "1"})
    assert refused.value.reason == "no-vectors"
    file.write_bytes(bundle(V1_IMAGE, system=program(V2_END, 2048, old=False), role="bootloader"))
    with pytest.raises(FirmwareError, match="nRF52") as refused:
        read(file, **{ALLOW_SYSTEM: "1"})
    assert refused.value.reason == "wrong-chip"


def test_what_an_asset_has_for_other_boards_need_not_be_allowed(tmp_path: Path) -> None:
    both = asset(tmp_path / "asset", v1__hex=thin(v1_pieces()), kit__zip=bundle(DK_IMAGE))
    assert [payload.data for payload in read(both).payloads] == [V1_IMAGE]
