"""What programs keep on their own pages of a simulated chip's flash: bonds, a key-value store, a bootloader's settings.

The layouts are made up where nobody but the board itself reads them; what matters is that they are in the flash: an
image that reaches over a page takes with it what was kept there, and a power cut can come in the middle.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from enmctl.simulator.nordic.flash import Flash

ADDRESS_SIZE: Final = 6
BONDS_MOST: Final = 4
"""How many peers a micro:bit remembers (microbit-dal, MICROBIT_BLE_MAXIMUM_BONDS)."""


def rewrite(flash: Flash, page: int, data: bytes, now: float) -> float:
    """Erase a page and write anew what is kept there; returns when that is done."""
    flash.erase(page, 1, now)
    return flash.write(page, data, now)


class Bonds:
    """The peers that a board shares keys with, oldest first; ``page`` is None on a board that never pairs."""

    MARK: ClassVar[bytes] = b"BOND"

    def __init__(self, flash: Flash, page: int | None) -> None:
        self._flash = flash
        self._page = page

    def __iter__(self) -> Iterator[str]:
        if self._page is None:
            return
        place = self._page
        while self._flash.read(place, len(self.MARK)) == self.MARK:
            place += len(self.MARK)
            yield self._flash.read(place, ADDRESS_SIZE).hex(":").upper()
            place += ADDRESS_SIZE + 2

    def __contains__(self, peer: object) -> bool:
        return peer in tuple(self)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def add(self, peer: str, now: float) -> None:
        """Remember a peer."""
        self._keep([*(known for known in self if known != peer.upper()), peer.upper()], now)

    def forget(self, now: float, peers: int = BONDS_MOST) -> None:
        """Forget the oldest peers; the peers themselves do not learn of it."""
        self._keep(list(self)[peers:], now)

    def _keep(self, peers: list[str], now: float) -> None:
        if self._page is None:
            return
        rows = (self.MARK + bytes.fromhex(peer.replace(":", "")) + bytes(2) for peer in peers)
        rewrite(self._flash, self._page, b"".join(rows), now)


@dataclass(slots=True)
class LegacySettings:
    """A legacy bootloader's settings (SDK 11, bootloader_settings_t), as far as applications go."""

    bank: int = 0xFF
    crc: int = 0
    other_bank: int = 0xFF
    size: int = 0

    VALID: ClassVar[int] = 0x01
    INVALID: ClassVar[int] = 0xFF
    FORM: ClassVar[struct.Struct] = struct.Struct("<HHHxxI")

    @classmethod
    def load(cls, flash: Flash, page: int) -> Self:
        """Read them; erased ones are of a board without an application."""
        bank, crc, other, size = cls.FORM.unpack(flash.read(page, cls.FORM.size))
        return cls(bank, crc, other, size)

    def save(self, flash: Flash, page: int, now: float) -> float:
        """Write them; returns when that is done."""
        return rewrite(flash, page, self.FORM.pack(self.bank, self.crc, self.other_bank, self.size), now)


@dataclass(slots=True)
class Bank:
    """Where a secure bootloader has an image: ``code`` tells what, ``start`` where (0 where there is none)."""

    code: int = 0
    start: int = 0
    size: int = 0
    crc: int = 0

    NONE: ClassVar[int] = 0
    APPLICATION: ClassVar[int] = 1
    SYSTEM: ClassVar[int] = 0xA5
    """A SoftDevice, a bootloader or both."""


@dataclass(slots=True)
class SecureSettings:
    """A secure bootloader's settings (SDK 16, nrf_dfu_settings_t), as far as applications go.

    ``validated`` says whether the application's CRC-32 is checked at each start. ``command`` is the init packet that
    was executed, ``name`` what to advertise once, ``peer`` who may connect once; both are gone when an application
    starts.
    """

    bank: Bank
    other_bank: Bank
    validated: bool = False
    version: int = 0
    bootloader_version: int = 1
    command: bytes = b""
    name: bytes = b""
    peer: str = ""

    HEAD: ClassVar[struct.Struct] = struct.Struct("<4I4I?xxxII20s18sH")
    SIZE: ClassVar[int] = 896
    """Bytes of the real thing, which cost the time to write them."""

    @classmethod
    def load(cls, flash: Flash, page: int, backup: int | None) -> Self:
        """Read them, from the second page where the first is damaged; where both are, nothing is known."""
        for place in (page, backup):
            record = flash.read(place, cls.SIZE) if place is not None else b""
            if record and zlib.crc32(record[4:]) == int.from_bytes(record[:4], "little"):
                return cls._unpack(record[4:])
        return cls(Bank(), Bank())

    @classmethod
    def _unpack(cls, record: bytes) -> Self:
        head = cls.HEAD.unpack_from(record)
        command = record[cls.HEAD.size : cls.HEAD.size + head[13]]
        return cls(
            Bank(*head[:4]),
            Bank(*head[4:8]),
            head[8],
            head[9],
            head[10],
            command,
            head[11].rstrip(b"\0"),
            head[12].rstrip(b"\0").decode(),
        )

    def save(self, flash: Flash, page: int, backup: int | None, now: float) -> float:
        """Write them to both pages, one after the other; returns when that is done."""
        banks = (
            value for bank in (self.bank, self.other_bank) for value in (bank.code, bank.start, bank.size, bank.crc)
        )
        rest = (self.validated, self.version, self.bootloader_version, self.name, self.peer.encode(), len(self.command))
        record = (self.HEAD.pack(*banks, *rest) + self.command).ljust(self.SIZE - 4, b"\0")
        whole = zlib.crc32(record).to_bytes(4, "little") + record
        done = rewrite(flash, page, whole, now)
        return done if backup is None else rewrite(flash, backup, whole, now)


class Storage:
    """The application's key-value store, as far as anybody here asks for keys: which flags are set."""

    def __init__(self, flash: Flash, page: int | None) -> None:
        self._flash = flash
        self._page = page

    def has(self, key: str) -> bool:
        """Whether a flag is set."""
        return self._page is not None and self._flash.read(self._page, len(key)) == key.encode()

    def put(self, key: str, now: float) -> float:
        """Set a flag; returns when that is done."""
        return now if self._page is None else rewrite(self._flash, self._page, key.encode(), now)

    def clear(self, now: float) -> float:
        """Forget all flags; returns when that is done."""
        return now if self._page is None else self._flash.erase(self._page, 1, now)
