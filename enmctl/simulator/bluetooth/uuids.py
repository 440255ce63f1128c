"""UUIDs: whole and in lower case as bleak has them, as short as they go on the air."""

from __future__ import annotations

import uuid

from bumble.core import UUID

BASE = "-0000-1000-8000-00805f9b34fb"
"""What follows a short UUID in its whole form (Bluetooth Core, Vol 3, Part B, 2.5.1)."""


def short(text: str) -> UUID:
    """A whole UUID, in 16 bits where it is one of those."""
    if text.startswith("0000") and text.endswith(BASE):
        return UUID(text[4:8])
    return UUID(text)


def whole(found: UUID) -> str:
    """A UUID in full, in lower case."""
    return str(uuid.UUID(bytes=found.to_bytes(force_128=True)[::-1]))
