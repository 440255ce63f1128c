"""Nordic DFU packages: zip files with images and their init packets, checked whole before a radio is touched.

The manifest is that of nrfutil 0.5 to 6 and its relatives; packages from before there was one name their files by what
they are (``application.bin``, ``system.dat``…). Which protocol a package is for is told by its init packets.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from enmctl.errors import FirmwareError
from enmctl.firmware.nordic_init import (
    LEGACY_MOST,
    SECURE_MOST,
    ImageType,
    InitPacket,
    LegacyInit,
    MicrobitInit,
    SecureInit,
    crc16,
    read_init,
)
from enmctl.firmware.nordic_manifest import MANIFEST, Entry, Role, entries_by_name, entries_of_manifest
from enmctl.firmware.zip_archive import read_zip

IMAGE_MOST: Final = 1024 * 1024
"""Bytes of flash of the largest of these chips, the nRF52840."""

AGAIN: Final = "fetch or make the package again"

IMAGE_TYPES: Final = {
    ImageType.APPLICATION: Role.APPLICATION,
    ImageType.SOFTDEVICE: Role.SOFTDEVICE,
    ImageType.BOOTLOADER: Role.BOOTLOADER,
    ImageType.SOFTDEVICE_BOOTLOADER: Role.SOFTDEVICE_BOOTLOADER,
}


class Protocol(StrEnum):
    """How an image gets onto a board."""

    LEGACY = "legacy-dfu"
    SECURE = "secure-dfu"
    HTTP = "http"


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes of an image that belong to each part of a board."""

    softdevice: int = 0
    bootloader: int = 0
    application: int = 0


@dataclass(frozen=True, slots=True)
class NordicImage:
    """One image, verified against its init packet; without one, there was nothing to verify it against."""

    role: Role
    data: bytes
    sizes: Sizes
    init_packet: bytes | None
    init: InitPacket | None

    @property
    def protocol(self) -> Protocol:
        """Which bootloaders take it."""
        return Protocol.LEGACY if isinstance(self.init, LegacyInit | None) else Protocol.SECURE

    @property
    def system(self) -> bool:
        """Whether it replaces what a board needs to be reachable at all."""
        return self.role != Role.APPLICATION


def read_package(data: bytes) -> tuple[NordicImage, ...]:
    """Read and verify a package; the images come in the order in which they must be sent.

    Raises:
        FirmwareError: with a remedy; ``reason`` is one of those of ``read_zip``, ``bad-manifest``, ``missing-member``,
            ``no-images``, ``no-init``, ``mixed`` and those of ``check_image``.
    """
    members = read_zip(data)
    entries = entries_of_manifest(members) if MANIFEST in members else entries_by_name(members)
    if not entries:
        raise FirmwareError(
            "it is a zip archive without firmware in it",
            remedy="send a DFU package; its files stand at its top, not in a folder",
            reason="no-images",
        )
    images = tuple(check_image(entry) for entry in sorted(entries, key=lambda entry: list(Role).index(entry.role)))
    if len({image.protocol for image in images}) > 1:
        raise FirmwareError(
            "it mixes images for legacy and secure bootloaders", remedy="make one package for each", reason="mixed"
        )
    return images


def read_pair(data: bytes, init_packet: bytes) -> NordicImage:
    """Verify an application and the init packet that lies beside it.

    Raises:
        FirmwareError: as ``check_image``.
    """
    return check_image(Entry(Role.APPLICATION, data, init_packet))


def check_image(entry: Entry) -> NordicImage:
    """Verify an image: its size, and all that its init packet and the manifest say of it.

    Raises:
        FirmwareError: ``reason`` is one of ``empty``, ``too-big``, ``bad-size``, ``no-init``, ``bad-init``,
            ``wrong-role``, ``bad-crc``, ``bad-hash`` and ``bad-manifest``.
    """
    name = entry.role.words
    _check_size(entry.data, name)
    init = _init_of(entry)
    sizes = _sizes(entry, init, name)
    if isinstance(init, SecureInit):
        _check_secure(entry, init, sizes)
    elif isinstance(init, MicrobitInit):
        _check_microbit(entry, init)
    elif init is not None:
        _check_legacy(entry, init)
    return NordicImage(entry.role, entry.data, sizes, entry.init_packet, init)


def _check_size(data: bytes, name: str) -> None:
    if not data:
        raise FirmwareError(f"the {name} in it is empty", remedy=AGAIN, reason="empty")
    if len(data) > IMAGE_MOST:
        raise FirmwareError(
            f"the {name} in it has {len(data)} bytes, no board takes more than {IMAGE_MOST}",
            remedy="make it smaller",
            reason="too-big",
        )
    if len(data) % 4:
        raise FirmwareError(
            f"the {name} in it has {len(data)} bytes, and boards take whole words of 4",
            remedy="fill the image up with 0xFF before the package is made",
            reason="bad-size",
        )


def _init_of(entry: Entry) -> InitPacket | None:
    packet = entry.init_packet
    if packet is None:
        if entry.role == Role.APPLICATION:
            return None
        raise FirmwareError(f"the {entry.role.words} in it has no init packet", remedy=AGAIN, reason="no-init")
    init = read_init(packet)
    most = LEGACY_MOST if isinstance(init, LegacyInit) else SECURE_MOST
    if len(packet) > most:
        raise FirmwareError(
            f"the init packet has {len(packet)} bytes, boards take {most}", remedy=AGAIN, reason="bad-init"
        )
    return init


def _sizes(entry: Entry, init: InitPacket | None, name: str) -> Sizes:
    """How the image is made up; only of a bundle must something else tell."""
    size = len(entry.data)
    if entry.role == Role.APPLICATION:
        return Sizes(application=size)
    if entry.role == Role.SOFTDEVICE:
        return Sizes(softdevice=size)
    if entry.role == Role.BOOTLOADER:
        return Sizes(bootloader=size)
    parts = entry.bundle
    if parts is None and isinstance(init, SecureInit):
        parts = (init.softdevice_size, init.bootloader_size)
    if parts is None or sum(parts) != size or 0 in parts:
        said = (
            "nothing tells how long each is"
            if parts is None
            else f"its parts are said to have {parts[0]} and {parts[1]}"
        )
        raise FirmwareError(f"the {name} in it has {size} bytes, and {said}", remedy=AGAIN, reason="bad-size")
    return Sizes(*parts)


def _check_secure(entry: Entry, init: SecureInit, sizes: Sizes) -> None:
    name = entry.role.words
    if IMAGE_TYPES.get(init.image_type) != entry.role:
        meant = init.image_type.name.lower().replace("_", " ")
        raise FirmwareError(
            f"the {name} in it has the init packet of another image, {meant}", remedy=AGAIN, reason="wrong-role"
        )
    said = Sizes(init.softdevice_size, init.bootloader_size, init.application_size)
    if said != sizes:
        announced = said.softdevice + said.bootloader + said.application
        raise _wrong_size(name, len(entry.data), announced)
    _check_hash(name, entry.data, init.sha256)


def _check_microbit(entry: Entry, init: MicrobitInit) -> None:
    name = entry.role.words
    if entry.role != Role.APPLICATION:
        raise FirmwareError(
            f"the {name} in it has the init packet of an application", remedy=AGAIN, reason="wrong-role"
        )
    if init.application_size != len(entry.data):
        raise _wrong_size(name, len(entry.data), init.application_size)
    if init.sha256 is not None:
        _check_hash(name, entry.data, init.sha256)


def _check_legacy(entry: Entry, init: LegacyInit) -> None:
    name = entry.role.words
    found = crc16(entry.data)
    if init.crc16 is not None and init.crc16 != found:
        raise FirmwareError(
            f"the {name} in it is damaged, its CRC-16 is 0x{found:04X} and should be 0x{init.crc16:04X}",
            remedy=AGAIN,
            reason="bad-crc",
        )
    if init.length is not None and init.length != len(entry.data):
        raise _wrong_size(name, len(entry.data), init.length)
    if init.sha256 is not None:
        _check_hash(name, entry.data, init.sha256)
    _check_manifest(entry.said, init, found)


def _check_manifest(said: Mapping[str, object], init: LegacyInit, crc: int) -> None:
    """See that the manifest says of an init packet what is in it; tools show the one, and boards read the other."""
    facts: Mapping[str, object] = {
        "application_version": init.application_version,
        "device_revision": init.device_revision,
        "device_type": init.device_type,
        "firmware_crc16": crc,
        "softdevice_req": list(init.softdevices),
    }
    for field, fact in facts.items():
        if said.get(field) is not None and said[field] != fact:
            raise FirmwareError(
                f"its manifest says another {field} than the init packet", remedy=AGAIN, reason="bad-manifest"
            )


def _check_hash(name: str, data: bytes, expected: bytes) -> None:
    found = hashlib.sha256(data).digest()
    if found != expected:
        raise FirmwareError(
            f"the {name} in it is damaged, its SHA-256 is {found.hex()} and should be {expected.hex()}",
            remedy=AGAIN,
            reason="bad-hash",
        )


def _wrong_size(name: str, size: int, announced: int) -> FirmwareError:
    return FirmwareError(
        f"the {name} in it has {size} bytes, its init packet announces {announced}", remedy=AGAIN, reason="bad-size"
    )
