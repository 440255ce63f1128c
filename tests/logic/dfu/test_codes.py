"""Every code that a bootloader can answer with is told in words."""

from __future__ import annotations

import pytest

from enmctl.dfu import legacy_codes, secure_codes
from enmctl.dfu.secure_codes import EXTENDED, Result


def test_every_status_of_the_legacy_protocol_has_words_of_its_own() -> None:
    assert [legacy_codes.words_of(status) for status in range(2, 7)] == [
        "that is not its turn",
        "it does not support that",
        "that is too big for it",
        "the CRC is wrong",
        "it failed",
    ]
    assert [legacy_codes.words_of(status) for status in (0, 1, 7, 0x99)] == [
        "status 0",
        "status 1",
        "status 7",
        "status 153",
    ]


def test_whatever_the_legacy_protocol_answers_is_named() -> None:
    answered = {legacy_codes.Op(number) for number in (1, 2, 3, 4, 7, 8)}
    assert set(legacy_codes.DOING) == answered
    assert len(set(legacy_codes.DOING.values())) == len(answered)


def test_every_result_of_the_secure_protocol_has_words_of_its_own() -> None:
    codes = (0x00, 0x02, 0x03, 0x04, 0x05, 0x07, 0x08, 0x0A)
    assert [secure_codes.words_of(code, b"") for code in codes] == [
        "the request is not valid",
        "it does not know this request",
        "a parameter is wrong",
        "that is too big for it",
        "the object is not right",
        "it does not know this type of object",
        "that is not its turn",
        "it failed",
    ]
    assert [secure_codes.words_of(code, b"") for code in (1, 6, 0x42)] == ["result 0x01", "result 0x06", "result 0x42"]


@pytest.mark.parametrize(
    ("code", "word"),
    [
        (0x00, "no reason"),
        (0x02, "wrong format"),
        (0x03, "does not know the command"),
        (0x04, "lacks"),
        (0x05, "lower"),
        (0x06, "hardware version"),
        (0x07, "another SoftDevice"),
        (0x08, "not signed"),
        (0x09, "hash of a kind"),
        (0x0A, "cannot be computed"),
        (0x0B, "signature is of a kind"),
        (0x0C, "does not verify"),
        (0x0D, "no room"),
    ],
)
def test_every_extended_error_has_words_of_its_own(code: int, word: str) -> None:
    assert word in secure_codes.words_of(Result.EXTENDED, bytes([code, 0x55]))
    assert sum(word in words for words in EXTENDED.values()) == 1


def test_an_extended_error_without_its_code_gives_no_reason_and_an_unknown_one_its_number() -> None:
    assert secure_codes.words_of(Result.EXTENDED, b"") == "it gives no reason"
    assert secure_codes.words_of(Result.EXTENDED, b"\x77") == "extended error 0x77"


def test_whatever_the_secure_protocol_is_asked_is_named() -> None:
    assert set(secure_codes.DOING) == set(secure_codes.Op)
    assert len(set(secure_codes.DOING.values())) == len(secure_codes.Op)
