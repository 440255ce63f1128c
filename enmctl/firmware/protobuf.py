"""Reading the little of protocol buffers that an init packet needs (protobuf.dev, "Encoding")."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
VARINT_MOST: Final = 10
"""Bytes of the longest varint."""


class ProtobufError(ValueError):
    """The bytes are no message."""


@dataclass(frozen=True, slots=True)
class Message:
    """The fields of a message, by number, in their order: whole numbers and byte strings."""

    fields: dict[int, list[int | bytes]]

    def number(self, field: int) -> int | None:
        """The one whole number of a field, None where it is not there."""
        value = self._only(field)
        if isinstance(value, bytes):
            raise ProtobufError
        return value

    def content(self, field: int) -> bytes | None:
        """The one byte string of a field, None where it is not there."""
        value = self._only(field)
        if isinstance(value, int):
            raise ProtobufError
        return value

    def message(self, field: int) -> Message | None:
        """The one message in a field, None where it is not there."""
        content = self.content(field)
        return None if content is None else read_message(content)

    def numbers(self, field: int) -> tuple[int, ...]:
        """All whole numbers of a field, whether packed or one by one."""
        found: list[int] = []
        for value in self.fields.get(field, []):
            found.extend(_packed(value) if isinstance(value, bytes) else [value])
        return tuple(found)

    def _only(self, field: int) -> int | bytes | None:
        values = self.fields.get(field, [])
        if len(values) > 1:
            raise ProtobufError
        return values[0] if values else None


def read_message(data: bytes) -> Message:
    """Read one message, its fields as they stand.

    Raises:
        ProtobufError: the bytes are none.
    """
    fields: dict[int, list[int | bytes]] = {}
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        value: int | bytes
        if kind == VARINT:
            value, at = _varint(data, at)
        elif kind in (BYTES, FIXED64, FIXED32):
            size, at = _varint(data, at) if kind == BYTES else ({FIXED64: 8, FIXED32: 4}[kind], at)
            value, at = data[at : at + size], at + size
        else:
            raise ProtobufError
        if not number or at > len(data):
            raise ProtobufError
        fields.setdefault(number, []).append(value)
    return Message(fields)


def _packed(data: bytes) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        yield value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A whole number, seven bits a byte, the lowest first; and where it ends."""
    value = 0
    for place, byte in enumerate(data[at : at + VARINT_MOST]):
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:  # noqa: PLR2004 - the highest bit says that more follow
            return value, at + place + 1
    raise ProtobufError
