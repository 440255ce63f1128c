"""Who is who without a server: ids and names that are made here, the same each time from the same words."""

from __future__ import annotations

import hashlib
import uuid
from typing import Final

FIRST_MADE_ID: Final = 1_000_000_000_000
"""Ids of applications that are made here begin beyond those that a server gives out."""

MADE_IDS: Final = 1 << 40

NAMESPACE: Final = uuid.UUID("6f2d3c52-6c0b-5d4e-9a37-0f1f4b6f7e10")
"""What the uuids of devices are made in (RFC 9562, version 5)."""

HASH_LETTERS: Final = 40
"""Letters of a commit that is the hash of its firmware alone, as a Supervisor's commits have."""

TAG_LETTERS: Final = 8
"""Letters of the hash behind a version's name: another file under the same name is another commit."""


def application_id(name: str) -> int:
    """The id of an application that states none."""
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return FIRST_MADE_ID + int.from_bytes(digest, "big") % MADE_IDS


def device_uuid(application: int, local_id: str) -> str:
    """The uuid of the device that a board becomes."""
    return uuid.uuid5(NAMESPACE, f"{application}/{local_id}").hex


def device_name(application: str, local_id: str) -> str:
    """What a device is called that has no name in the file."""
    return f"{application}-{local_id}"


def commit(version: str | None, sha256: str) -> str:
    """What firmware is called: by its version where it has one, and always by what is in it."""
    return f"{version}-{sha256[:TAG_LETTERS]}" if version else sha256[:HASH_LETTERS]
