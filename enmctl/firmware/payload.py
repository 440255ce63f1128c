"""What of a firmware file goes over the air to some boards."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property

from enmctl.firmware.nordic import Protocol, Sizes
from enmctl.firmware.nordic_init import crc16
from enmctl.firmware.nordic_manifest import Role
from enmctl.firmware.targets import Target


@dataclass(frozen=True)
class Payload:
    """What would go over the air to some boards, checked.

    ``address`` is where it begins on the board, None where the file does not tell. ``sizes`` tells which parts of the
    board ``data`` is for, and ``init`` announces it to the bootloader, None where nothing does. ``system`` tells an
    image that replaces what a board needs to be reachable. ``softdevices`` and ``hardware_version`` are what the init
    packet demands of the board.
    """

    targets: tuple[Target, ...]
    protocol: Protocol
    role: Role
    address: int | None
    data: bytes = field(repr=False)
    sizes: Sizes
    init: bytes | None = None
    system: bool = False
    softdevices: tuple[int, ...] = ()
    hardware_version: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes that go over the air."""
        return len(self.data)

    @property
    def init_packet(self) -> str | None:
        """The init packet in hex, None where none is sent."""
        return None if self.init is None else self.init.hex()

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of the data, in hex."""
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def crc16(self) -> int:
        """The CRC-16 of the data, as legacy bootloaders compute it."""
        return crc16(self.data)
