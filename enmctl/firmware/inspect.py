"""What is in a firmware file of any kind: for which boards, what would be sent to them, and what is wrong with it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from os import PathLike
from pathlib import Path
from typing import Final

from enmctl.errors import FirmwareError
from enmctl.firmware import microbit
from enmctl.firmware.esp8266 import MAGIC, USUAL_MIX_UPS, read_image
from enmctl.firmware.hex import MOST_BYTES, Family, HexFile, HexPart, read_hex
from enmctl.firmware.nordic import NordicImage, Protocol, Sizes, read_package, read_pair
from enmctl.firmware.nordic_boards import suits
from enmctl.firmware.nordic_init import MicrobitInit, SecureInit
from enmctl.firmware.nordic_manifest import Role
from enmctl.firmware.payload import Payload
from enmctl.firmware.places import There, what_is_at
from enmctl.firmware.targets import Target
from enmctl.firmware.vectors import vectors_of

HEX: Final = re.compile(rb"(?:\xef\xbb\xbf)?\s*:[0-9A-Fa-f]{8}")
ZIP: Final = b"PK"
CONTENTS_MOST: Final = 64
"""Pieces of a file that are told of; a hex file from a tool has up to twenty."""

TAR_MARK: Final = (257, b"ustar")
INIT_PACKET: Final = ".dat"
INIT_READ: Final = 64 * 1024
"""Bytes read of a file that is to be an init packet; what is longer than one is refused as such."""


class Kind(StrEnum):
    """What a file is."""

    INTEL_HEX = "intel-hex"
    UNIVERSAL_HEX = "universal-hex"
    NORDIC_PACKAGE = "nordic-package"
    BARE_IMAGE = "bare-image"
    ESP8266_IMAGE = "esp8266-image"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Content:
    """A piece of a file: what it is, where it goes (None where the file does not tell), and its bytes."""

    what: str
    address: int | None
    size: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing, or one piece of a file, can be sent to some boards; to none at all where no board is named."""

    targets: tuple[Target, ...]
    message: str
    remedy: str
    reason: str


@dataclass(frozen=True, slots=True)
class Inspection:
    """All that a file tells; ``size`` is its bytes and ``sha256`` its hash in hex."""

    name: str
    kind: Kind
    size: int
    sha256: str
    contents: tuple[Content, ...] = ()
    payloads: tuple[Payload, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def sendable(self) -> bool:
        """Whether anything in it can be sent to any board."""
        return bool(self.payloads)


def inspect(file: str | PathLike[str]) -> Inspection:
    """Look into a firmware file; what is wrong with it is told in the result.

    A ``.bin`` is taken together with the ``.dat`` of the same name, where there is one.

    Raises:
        FirmwareError: it cannot be read at all; ``reason`` is one of ``no-file``, ``unreadable`` and ``too-big``.
    """
    path = Path(file)
    data = _read(path, MOST_BYTES)
    kind, look = _kind(data)
    found = Inspection(path.name, kind, len(data), hashlib.sha256(data).hexdigest())
    try:
        return look(found, data, path)
    except FirmwareError as error:
        return replace(found, refusals=(_refusal(error),))


Look = Callable[[Inspection, bytes, Path], Inspection]


def _kind(data: bytes) -> tuple[Kind, Look]:
    """What a file looks like, and who looks closer."""
    if HEX.match(data):
        return Kind.INTEL_HEX, _look_into_hex
    if data.startswith(ZIP):
        return Kind.NORDIC_PACKAGE, _look_into_package
    if data[:1] == bytes([MAGIC]):
        return Kind.ESP8266_IMAGE, _look_into_esp8266
    if vectors_of(data) is not None:
        return Kind.BARE_IMAGE, _look_into_binary
    return Kind.UNKNOWN, _look_at_unknown


def _look_into_hex(found: Inspection, data: bytes, _: Path) -> Inspection:
    file = read_hex(data)
    contents = [
        Content(_part_words(part), block.address, len(block.data))
        for part in file.parts
        for block in part.memory.blocks
    ]
    payloads: list[Payload] = []
    refusals: list[Refusal] = []
    for part, family in _candidates(file):
        try:
            payloads.append(_microbit_payload(microbit.from_hex(part, family)))
        except FirmwareError as error:
            refusals.append(_refusal(error, microbit.REGIONS[family].target))
    refusals += (_foreign(part) for part in file.parts if file.universal and part.family is None)
    more = len(contents) - CONTENTS_MOST
    notes = (
        f"{file.ignored} bytes after its end record are no firmware and are left out" if file.ignored else "",
        f"{more} more pieces are not listed" if more > 0 else "",
    )
    return replace(
        found,
        kind=Kind.UNIVERSAL_HEX if file.universal else Kind.INTEL_HEX,
        contents=tuple(contents[:CONTENTS_MOST]),
        payloads=tuple(payloads),
        refusals=tuple(refusals),
        notes=_told(*notes),
    )


def _look_into_package(found: Inspection, data: bytes, _: Path) -> Inspection:
    return _with_images(found, read_package(data))


def _look_into_binary(found: Inspection, data: bytes, path: Path) -> Inspection:
    beside = path.with_suffix(INIT_PACKET)
    if beside != path and what_is_at(beside) is There.FILE:
        looked = _with_images(found, (read_pair(data, _read(beside, INIT_READ)),))
        return replace(looked, notes=(f"its init packet is {beside.name} beside it",))
    contents = (Content(Role.APPLICATION.words, None, len(data)),)
    family = Family.V2
    if (vectors := vectors_of(data)) is not None and vectors.old:
        alone = NordicImage(Role.APPLICATION, data, Sizes(application=len(data)), None, None)
        if suits(alone).targets != (Target.MICROBIT_V1,):
            raise _needs_init(path)
        family = Family.V1
    try:
        image = microbit.from_binary(data, family)
    except FirmwareError as error:
        if error.reason == "too-big":
            raise
        raise _needs_init(path) from None
    return replace(found, contents=contents, payloads=(_microbit_payload(image),))


def _look_into_esp8266(found: Inspection, data: bytes, _: Path) -> Inspection:
    image = read_image(data)
    version = f"its version is {image.embedded_version}" if image.embedded_version else ""
    payload = _payload(
        data,
        (Target.ESP8266,),
        Protocol.HTTP,
        notes=_told(version, f"for {image.flash_size // 1024} KiB of flash", "signed" if image.signed else ""),
    )
    parts = (("boot loader", image.boot_segments), ("application", image.segments))
    contents = tuple(
        Content(f"{part}, segment {number}", segment.address, segment.size)
        for part, segments in parts
        for number, segment in enumerate(segments, 1)
    )
    return replace(found, contents=contents, payloads=(payload,))


def _look_at_unknown(_: Inspection, data: bytes, path: Path) -> Inspection:
    if not data:
        raise FirmwareError("it is empty", remedy="build or fetch the file again", reason="empty")
    for magic, reason, words, remedy in USUAL_MIX_UPS:
        if data.startswith(magic):
            raise FirmwareError(f"it is {words}, not firmware to be sent", remedy=remedy, reason=reason)
    at, mark = TAR_MARK
    if data[at:].startswith(mark):
        raise FirmwareError("it is a tar archive", remedy="unpack it and name the firmware in it", reason="tar")
    if path.suffix.lower() == INIT_PACKET:
        raise FirmwareError(
            "it is an init packet at most, not an image",
            remedy=f"name {path.with_suffix('.bin').name}",
            reason="no-image",
        )
    raise FirmwareError(
        "it is no firmware that enmctl knows",
        remedy="name a .hex for a micro:bit, a DFU package (.zip), a .bin, or an ESP8266 image",
        reason="not-firmware",
    )


def _candidates(file: HexFile) -> list[tuple[HexPart, Family]]:
    """Which part of a hex file might be for which family: a part of a Universal Hex for its own, any other for both."""
    if file.universal:
        return [(part, part.family) for part in file.parts if part.family is not None]
    return [(part, family) for part in file.parts for family in Family]


def _part_words(part: HexPart) -> str:
    if part.family is not None:
        return microbit.REGIONS[part.family].target.words
    return " ".join(f"board 0x{board:04X}" for board in part.board_ids) or "data"


def _foreign(part: HexPart) -> Refusal:
    return Refusal((), f"{_part_words(part)} in it is no micro:bit", "save it again for a micro:bit", "unknown-board")


def _with_images(found: Inspection, images: tuple[NordicImage, ...]) -> Inspection:
    payloads: list[Payload] = []
    refusals: list[Refusal] = []
    for image in images:
        try:
            payloads.append(_nordic_payload(image))
        except FirmwareError as error:
            refusals.append(_refusal(error))
    contents = tuple(Content(image.role.words, None, len(image.data)) for image in images)
    return replace(found, contents=contents, payloads=tuple(payloads), refusals=tuple(refusals))


def _nordic_payload(image: NordicImage) -> Payload:
    suited = suits(image)
    init = image.init
    payload = _payload(
        image.data,
        suited.targets,
        image.protocol,
        init_packet=image.init_packet,
        notes=_told(
            f"it replaces the {image.role.words}: sent only where that is allowed by name" if image.system else "",
            "it has no init packet: bootloaders from SDK 7 on refuse it, but not a micro:bit V1's"
            if init is None
            else "",
            "it has no hash: the board cannot check what it got" if init == MicrobitInit(len(image.data), None) else "",
            "it is not signed: stock bootloaders refuse it" if isinstance(init, SecureInit) and not init.signed else "",
        ),
    )
    return replace(
        payload,
        role=image.role,
        sizes=image.sizes,
        address=suited.address,
        system=image.system,
        softdevices=() if init is None or isinstance(init, MicrobitInit) else init.softdevices,
        hardware_version=init.hardware_version if isinstance(init, SecureInit) else None,
    )


def _microbit_payload(image: microbit.MicrobitImage) -> Payload:
    payload = _payload(
        image.data,
        (microbit.REGIONS[image.family].target,),
        Protocol.LEGACY if image.family == Family.V1 else Protocol.SECURE,
        init_packet=image.init_packet,
        notes=_told("it overwrites the board's bonds: pair again afterwards" if image.over_settings else ""),
    )
    return replace(payload, address=image.address)


def _payload(
    data: bytes,
    targets: tuple[Target, ...],
    protocol: Protocol,
    *,
    init_packet: bytes | None = None,
    notes: tuple[str, ...] = (),
) -> Payload:
    return Payload(
        targets=targets,
        protocol=protocol,
        role=Role.APPLICATION,
        address=None,
        data=data,
        sizes=Sizes(application=len(data)),
        init=init_packet,
        notes=notes,
    )


def _told(*notes: str) -> tuple[str, ...]:
    return tuple(note for note in notes if note)


def _refusal(error: FirmwareError, *targets: Target) -> Refusal:
    return Refusal(targets, error.message, error.remedy, error.reason)


def _needs_init(path: Path) -> FirmwareError:
    return FirmwareError(
        "it is an application for a Nordic chip, but for no micro:bit, and other boards need an init packet",
        remedy=f"lay {path.with_suffix(INIT_PACKET).name} beside it, or name the DFU package (.zip)",
        reason="no-init",
    )


def _read(path: Path, most: int) -> bytes:
    there = what_is_at(path)
    if there is not There.FILE:
        problem = {There.FOLDER: "is a folder", There.NOTHING: "is not there"}.get(there, "is no file")
        raise FirmwareError(f"the file {path} {problem}", remedy="check the path", reason="no-file")
    try:
        with path.open("rb") as opened:
            data = opened.read(most + 1)
    except OSError as error:
        raise FirmwareError(
            f"{path.name} cannot be read, {error.strerror}", remedy="check its permissions", reason="unreadable"
        ) from error
    if len(data) > most:
        raise FirmwareError(
            f"{path.name} has more than {most} bytes, more than any such file for these boards",
            remedy="name the program alone",
            reason="too-big",
        )
    return data
