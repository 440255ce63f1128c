"""What the answer of a board's update server means.

``ESP8266HTTPUpdateServer`` answers 200 whatever happened; only the body tells. The codes are those of
cores/esp8266/Updater.h of esp8266/Arduino; what to do about each is said in words of our own.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final, NamedTuple

from enmctl.boards.http_answer import HttpAnswer
from enmctl.errors import BoardError, RefusedError, TransferError

ERROR: Final = re.compile(r"ERROR\[(\d{1,4})\](?::\s*([^\r\n]{0,200}))?")
SUCCESS: Final = "Update Success"
OLD_SUCCESS: Final = "OK"
FAILURE: Final = re.compile(r"error|fail", re.IGNORECASE)
WRONG_ORIGIN: Final = "Wrong origin"

UNAUTHORIZED: Final = 401
FORBIDDEN: Final = 403
NOT_FOUND: Final = 404
METHOD_NOT_ALLOWED: Final = 405
TOO_LARGE: Final = 413
FIRST_SERVER_ERROR: Final = 500


class Verdict(Enum):
    """What an answer says of an update that was sent whole."""

    ACCEPTED = "accepted"
    UNCLEAR = "unclear"


class _Code(NamedTuple):
    """A code of the updater: a stable word, what it means, what to do, and whether only another image can help.

    Where a person can put it right at the board or in its config, the same image is tried again.
    """

    reason: str
    meaning: str
    remedy: str
    permanent: bool = True


TIRED_FLASH: Final = "it is tried again; if it stays, suspect the power supply or the flash chip"
CODES: Final = {
    1: _Code("flash-write", "it could not write to its flash", TIRED_FLASH, permanent=False),
    2: _Code("flash-erase", "it could not erase its flash", TIRED_FLASH, permanent=False),
    3: _Code("flash-read", "it could not read its flash", TIRED_FLASH, permanent=False),
    4: _Code(
        "no-space",
        "the image does not fit beside the firmware that runs",
        "make the build smaller, or give the sketch more room by a flash layout that is flashed over USB",
        permanent=False,
    ),
    5: _Code("bad-size", "the size is not one that it can take", "check that the file is an application"),
    6: _Code("stream-timeout", "the image came too slowly", "it is tried again; bring it nearer", permanent=False),
    7: _Code(
        "bad-digest",
        "what arrived is not what was sent",
        "it is tried again; suspect the power supply",
        permanent=False,
    ),
    8: _Code(
        "flash-config",
        "the firmware that runs was built for another size of flash than it has",
        "flash it once over USB, built for its real flash size",
        permanent=False,
    ),
    9: _Code(
        "flash-size", "the image is built for more flash than it has", "choose a board with smaller flash in the build"
    ),
    10: _Code("bad-magic", "it does not take the image for one", "check that the file is an ESP8266 application"),
    11: _Code(
        "never-reset",
        "it was not reset since it was flashed over a serial line",
        "press its reset button or switch it off and on once, then repeat",
        permanent=False,
    ),
    12: _Code(
        "bad-signature",
        "it wants a signature that the image does not have",
        "sign the image with the key it was built for, or flash it once over USB with firmware that wants none",
        permanent=False,
    ),
    13: _Code("no-data", "it got no data", "check that the file is not empty"),
    14: _Code(
        "no-memory", "it has too little memory free", "it is tried again; restart it if it stays", permanent=False
    ),
    15: _Code("busy", "another update is under way", "it is tried again; restart it if it stays", permanent=False),
    16: _Code("unknown-command", "it does not know this kind of update", "check ENM_OTA_PATH", permanent=False),
}


def judge(answer: HttpAnswer, name: str) -> Verdict:
    """What the answer to a whole image means for the board called ``name``.

    Raises:
        RefusedError: the board said no; ``reason`` names the updater's code in words.
        TransferError: the board's server failed.
    """
    refuse(answer, name)
    text = answer.text
    if found := ERROR.search(text):
        said = "".join(letter for letter in found[2] or "" if letter.isprintable())
        raise _refused_by_code(int(found[1]), said.strip(), name)
    if WRONG_ORIGIN in text:
        raise RefusedError(
            f"{name} refused the update for its origin",
            remedy="name the board by the address that it knows itself",
            reason="wrong-origin",
            permanent=False,
        )
    failed = FAILURE.search(text)
    if not failed and (SUCCESS in text or text == OLD_SUCCESS):
        return Verdict.ACCEPTED
    if failed and SUCCESS not in text:
        raise RefusedError(
            f"{name} refused the update: {text[:200]!r}",
            remedy="check that the file is for this board",
            reason="refused",
        )
    return Verdict.UNCLEAR


def refuse(answer: HttpAnswer, name: str, *, page: str = "the update page") -> None:
    """Raise what a status other than success means for a request to ``page``; do nothing for success.

    Raises:
        RefusedError: the board said no.
        TransferError: the board's server failed.
    """
    error = _by_status(answer.status, name, page)
    if error is not None:
        raise error


def _by_status(status: int, name: str, page: str) -> BoardError | None:
    if status < 400:  # noqa: PLR2004 - HTTP's first error
        return None
    if status in (UNAUTHORIZED, FORBIDDEN):
        return RefusedError(
            f"{name} does not take the user and password",
            remedy="set ENM_OTA_USER and ENM_OTA_PASSWORD in the config of the application or the device",
            reason="wrong-password",
            permanent=False,
        )
    if status in (NOT_FOUND, METHOD_NOT_ALLOWED):
        return RefusedError(
            f"{name} has no such page, {page} is elsewhere or its firmware has none",
            remedy="set ENM_OTA_PATH where the sketch gives its updater another path",
            reason="no-update-page",
            permanent=False,
        )
    if status == TOO_LARGE:
        return RefusedError(f"{name} cannot take so much", remedy="make it smaller", reason="no-space")
    if status < FIRST_SERVER_ERROR:
        return RefusedError(
            f"{name} refused with HTTP status {status}", remedy="check what its firmware wants", reason=f"http-{status}"
        )
    return TransferError(
        f"{name} failed with HTTP status {status}",
        remedy="it is tried again; restart it if it stays",
        reason=f"http-{status}",
    )


def _refused_by_code(code: int, text: str, name: str) -> RefusedError:
    known = CODES.get(code)
    if known is None:
        return RefusedError(
            f"{name} refused the update with error {code} ({text or 'no text'})",
            remedy="look the code up in Updater.h of its core",
            reason=f"error-{code}",
        )
    return RefusedError(
        f"{name} refused the update, {known.meaning} (error {code}{f', {text}' if text else ''})",
        remedy=known.remedy,
        reason=known.reason,
        permanent=known.permanent,
    )
