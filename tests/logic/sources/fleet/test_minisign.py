"""Signatures as minisign makes them: one of its own, and what must be refused."""

from __future__ import annotations

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from enmctl.errors import FirmwareError
from enmctl.sources.fleet.minisign import PublicKey, verify

REAL_KEY = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"
REAL_SIGNATURE = """untrusted comment: signature from minisign secret key
RWQf6LRCGA9i59SLOFxz6NxvASXDJeRtuZykwQepbDEGt87ig1BNpWaVWuNrm73YiIiJbq71Wi+dP9eKL8OC351vwIasSSbXxwA=
trusted comment: timestamp:1555779966\tfile:test
QtKMXWyYcwdpZAlPF7tE2ENJkRd1ujvKjlj1m9RtHTBnZPa5WKU5uWRs5GoP5M/VqE81QFuMKI5k/SfNQUaOAA==
"""
"""What minisign itself made of a file that holds ``test``."""


def signed(data: bytes, *, algorithm: bytes = b"ED", comment: bytes = b"timestamp:1") -> tuple[str, str]:
    """A public key, and its signature of data in minisign's form."""
    secret, key_id = Ed25519PrivateKey.generate(), b"12345678"
    signature = secret.sign(hashlib.blake2b(data).digest() if algorithm == b"ED" else data)
    encode = [b"Ed" + key_id + secret.public_key().public_bytes_raw(), algorithm + key_id + signature]
    key, line = (base64.b64encode(each).decode() for each in encode)
    over_all = base64.b64encode(secret.sign(signature + comment)).decode()
    return key, f"untrusted comment: x\n{line}\ntrusted comment: {comment.decode()}\n{over_all}\n"


def test_a_signature_that_minisign_made_is_taken() -> None:
    verify(b"test", REAL_SIGNATURE, PublicKey.parse(REAL_KEY), "test")
    verify(b"test", REAL_SIGNATURE, PublicKey.parse(f"untrusted comment: minisign public key\n{REAL_KEY}\n"), "test")


@pytest.mark.parametrize("algorithm", [b"ED", b"Ed"])
def test_both_ways_to_sign_are_taken_and_another_content_is_refused(algorithm: bytes) -> None:
    key, signature = signed(b"firmware", algorithm=algorithm)
    verify(b"firmware", signature, PublicKey.parse(key), "firmware.bin")
    with pytest.raises(FirmwareError, match=r"firmware.bin is refused: the signature does not fit"):
        verify(b"firmwarE", signature, PublicKey.parse(key), "firmware.bin")


def test_a_changed_trusted_comment_is_refused() -> None:
    with pytest.raises(FirmwareError, match="trusted comment"):
        verify(b"test", REAL_SIGNATURE.replace("1555779966", "1555779967"), PublicKey.parse(REAL_KEY), "test")


def test_a_signature_by_another_key_names_both() -> None:
    key = base64.b64encode(b"Ed" + b"87654321" + bytes(32)).decode()
    with pytest.raises(FirmwareError, match="E7620F1842B4E81F, and 3132333435363738 is wanted"):
        verify(b"test", REAL_SIGNATURE, PublicKey.parse(key), "test")


@pytest.mark.parametrize("text", ["", "no", "\n\n\n\n", REAL_SIGNATURE.replace("RWQf", "!!!!"), REAL_SIGNATURE[:80]])
def test_what_is_no_signature_is_refused(text: str) -> None:
    with pytest.raises(FirmwareError) as raised:
        verify(b"test", text, PublicKey.parse(REAL_KEY), "test")
    assert (raised.value.reason, raised.value.permanent) == ("signature", True)


@pytest.mark.parametrize("text", ["", "RWQ", REAL_KEY[:-4], "x" * 56, base64.b64encode(bytes(42)).decode()])
def test_what_is_no_public_key_is_no_public_key(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - its text is for nobody
        PublicKey.parse(text)


@pytest.mark.parametrize("place", range(len(REAL_SIGNATURE)))
def test_no_changed_letter_of_a_signature_is_a_crash(place: int) -> None:
    changed = REAL_SIGNATURE[:place] + "\x00" + REAL_SIGNATURE[place + 1 :]
    try:
        verify(b"test", changed, PublicKey.parse(REAL_KEY), "test")
    except FirmwareError:
        return
    assert place < len("untrusted comment: signature from minisign secret key\n"), "only that comment is not signed"
