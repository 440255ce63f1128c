"""What a DFU package says that it holds: its manifest, or where it has none, the names of its files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from enmctl.errors import FirmwareError
from enmctl.firmware.hex import read_hex

MANIFEST: Final = "manifest.json"

MASTER_BOOT_RECORD: Final = 0x1000
"""Bytes below which flash is Nordic's master boot record, which is never sent."""

SETTINGS: Final = 0x10000000
"""From here on a hex file holds the chip's settings, and no flash."""

CODE_MOST: Final = 1024 * 1024


class Role(StrEnum):
    """What an image is for, in the order in which images of one package are sent."""

    SOFTDEVICE_BOOTLOADER = "softdevice_bootloader"
    SOFTDEVICE = "softdevice"
    BOOTLOADER = "bootloader"
    APPLICATION = "application"

    @property
    def words(self) -> str:
        """What people call it."""
        return (
            "SoftDevice with bootloader" if self == Role.SOFTDEVICE_BOOTLOADER else self.value.replace("softd", "SoftD")
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """An image as a package gives it.

    ``bundle`` is the bytes of its SoftDevice and of its bootloader; ``said`` is the manifest's copy of what is in the
    init packet.
    """

    role: Role
    data: bytes
    init_packet: bytes | None
    bundle: tuple[int, int] | None = None
    said: Mapping[str, object] = field(default_factory=dict)


def entries_of_manifest(members: Mapping[str, bytes]) -> list[Entry]:
    """The images that a package's manifest names.

    Raises:
        FirmwareError: it makes no sense ("bad-manifest"), or names what is not there ("missing-member").
    """
    try:
        document = json.loads(members[MANIFEST].decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise _bad("it is no JSON") from None
    manifest = _object(_object(document, "it").get("manifest"), "its manifest")
    found = {role: _object(manifest[role], role) for role in Role if manifest.get(role) is not None}
    if Role.SOFTDEVICE_BOOTLOADER in found and {Role.SOFTDEVICE, Role.BOOTLOADER} & found.keys():
        raise _bad("it has the SoftDevice or the bootloader twice")
    files = [said.get("bin_file") for said in found.values()]
    if any(files.count(name) > 1 for name in files):
        raise _bad("it names one file for two images")
    return [_entry(role, said, members) for role, said in found.items()]


def _entry(role: Role, said: Mapping[str, Any], members: Mapping[str, bytes]) -> Entry:
    data = _member(said.get("bin_file"), role, members)
    init = _member(said["dat_file"], role, members) if said.get("dat_file") is not None else None
    sizes = said.get("info_read_only_metadata")
    place = said if sizes is None else {**said, **_object(sizes, "info_read_only_metadata")}
    parts = place.get("sd_size"), place.get("bl_size")
    if any(part is not None and (type(part) is not int or part < 0) for part in parts):
        raise _bad("a size in it is no number")
    packet = said.get("init_packet_data")
    return Entry(
        role,
        data,
        init,
        bundle=None if None in parts else (int(parts[0] or 0), int(parts[1] or 0)),
        said={} if packet is None else _object(packet, "init_packet_data"),
    )


def entries_by_name(members: Mapping[str, bytes]) -> list[Entry]:
    """The images of a package from before there was a manifest; a single ``.bin`` of any name is the application."""
    application = _image("application", members)
    softdevice = _image("softdevice", members)
    bootloader = _image("bootloader", members)
    system = members.get("system.dat")
    entries = []
    if softdevice is not None and bootloader is not None:
        sizes = len(softdevice), len(bootloader)
        entries.append(Entry(Role.SOFTDEVICE_BOOTLOADER, softdevice + bootloader, system, sizes))
    elif softdevice is not None:
        entries.append(Entry(Role.SOFTDEVICE, softdevice, system))
    elif bootloader is not None:
        entries.append(Entry(Role.BOOTLOADER, bootloader, system))
    if application is not None:
        entries.append(Entry(Role.APPLICATION, application, members.get("application.dat")))
    images = [name for name in members if name.lower().endswith(".bin")]
    if not entries and len(images) == 1:
        entries.append(Entry(Role.APPLICATION, members[images[0]], members.get(f"{images[0][:-4]}.dat")))
    return entries


def _image(stem: str, members: Mapping[str, bytes]) -> bytes | None:
    if f"{stem}.bin" in members:
        return members[f"{stem}.bin"]
    if f"{stem}.hex" not in members:
        return None
    file = read_hex(members[f"{stem}.hex"])
    if file.universal:
        raise FirmwareError(
            f"the {stem} in it is a Universal Hex", remedy="send that file itself", reason="universal-hex"
        )
    memory = file.parts[0].memory
    code = [block for block in memory.blocks if block.end > MASTER_BOOT_RECORD and block.address < SETTINGS]
    if not code:
        return b""
    start = max(code[0].address, MASTER_BOOT_RECORD)
    if code[-1].end - start > CODE_MOST:
        raise FirmwareError(
            f"the {stem} in it has {code[-1].end - start} bytes, no board takes more than {CODE_MOST}",
            remedy="send the program alone",
            reason="too-big",
        )
    return memory.cut(start, code[-1].end)


def _member(name: object, role: Role, members: Mapping[str, bytes]) -> bytes:
    """The file that the manifest names: one at the package's top, whatever the name looks like."""
    if not isinstance(name, str):
        raise _bad(f"it names no file for the {role.words}")
    if name not in members:
        raise FirmwareError(
            f"its manifest names the file {name[:100]!r}, which is not in it",
            remedy="make the package again",
            reason="missing-member",
        )
    return members[name]


def _object(value: object, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _bad(f"{name} is no object")
    return value


def _bad(what: str) -> FirmwareError:
    return FirmwareError(f"its manifest makes no sense, {what}", remedy="make the package again", reason="bad-manifest")
