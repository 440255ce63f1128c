"""Detached Ed25519 signatures as minisign makes them: ``minisign -Sm firmware.bin`` writes ``firmware.bin.minisig``.

The format: https://jedisct1.github.io/minisign/, "Signature format" and "Public key format". ``cryptography`` does the
arithmetic; it is an extra (``enmctl[signatures]``), imported only where a public key is named.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import Final

from enmctl.errors import FirmwareError

KEY_ALGORITHM: Final = b"Ed"
PLAIN, PREHASHED = b"Ed", b"ED"
"""How a signature was made: over the file itself (old minisign, signify), or over its BLAKE2b-512."""

ID_BYTES, KEY_BYTES, SIGNATURE_BYTES = 8, 32, 64
TRUSTED: Final = "trusted comment: "
UNTRUSTED: Final = "untrusted comment: "
SIGNATURE_LINES: Final = 4
SUFFIX: Final = ".minisig"
SIGNATURE_MOST: Final = 8192
"""Bytes of a signature file that are read; minisign's comments are bounded by as much."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key, and the id by which signatures name it."""

    key_id: bytes
    key: bytes

    @classmethod
    def parse(cls, text: str) -> PublicKey:
        """Read what ``minisign -G`` prints, ``RWQ…``, or a whole ``minisign.pub``.

        Raises:
            ValueError: it is none.
        """
        last = text.strip().splitlines()[-1] if text.strip() else ""
        data = _decoded(last)
        if len(data) != len(KEY_ALGORITHM) + ID_BYTES + KEY_BYTES or not data.startswith(KEY_ALGORITHM):
            raise ValueError(text)
        return cls(data[2:10], data[10:])


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature file, taken apart."""

    algorithm: bytes
    key_id: bytes
    signature: bytes
    comment: bytes
    over_all: bytes

    @classmethod
    def parse(cls, text: str) -> Signature:
        """Read a ``.minisig`` file.

        Raises:
            ValueError: it is none.
        """
        lines = text.splitlines()
        if len(lines) < SIGNATURE_LINES or not lines[0].startswith(UNTRUSTED) or not lines[2].startswith(TRUSTED):
            raise ValueError(text)
        data, over_all = _decoded(lines[1]), _decoded(lines[3])
        if len(data) != 2 + ID_BYTES + SIGNATURE_BYTES or data[:2] not in (PLAIN, PREHASHED):
            raise ValueError(text)
        return cls(data[:2], data[2:10], data[10:], lines[2].removeprefix(TRUSTED).encode(), over_all)


def verify(data: bytes, signature_text: str, key: PublicKey, name: str) -> None:
    """See that a file was signed by the owner of a key.

    Raises:
        FirmwareError: it was not (reasons ``signature`` and ``no-signatures``); ``name`` is what the file is called.
    """
    try:
        signature = Signature.parse(signature_text)
    except ValueError:
        raise _unfit(name, "its signature file is none of minisign's") from None
    if signature.key_id != key.key_id:
        made, wanted = (each[::-1].hex().upper() for each in (signature.key_id, key.key_id))
        raise _unfit(name, f"it is signed by key {made}, and {wanted} is wanted")
    signed = data if signature.algorithm == PLAIN else hashlib.blake2b(data).digest()
    if not _holds(key.key, signature.signature, signed):
        raise _unfit(name, "the signature does not fit the file")
    if not _holds(key.key, signature.over_all, signature.signature + signature.comment):
        raise _unfit(name, "the trusted comment of its signature was changed")


def _holds(key: bytes, signature: bytes, signed: bytes) -> bool:
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        raise FirmwareError(
            "signatures cannot be checked here, for the package cryptography is not installed",
            remedy="pip install 'enmctl[signatures]'",
            reason="no-signatures",
            permanent=False,
        ) from None
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, signed)
    except (InvalidSignature, ValueError):
        return False
    return True


def _unfit(name: str, why: str) -> FirmwareError:
    return FirmwareError(
        f"{name} is refused: {why}", remedy="sign it with the right key: minisign -Sm FILE", reason="signature"
    )


def _decoded(line: str) -> bytes:
    try:
        return base64.b64decode(line.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(line) from None
