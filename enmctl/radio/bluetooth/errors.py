"""What can go wrong between this machine's Bluetooth and a board.

::

    EnmError
    ├── BoardError
    │   ├── AttError             the board answered an access with an error
    │   │   └── BondNeededError  it wants a bond, or a link that is encrypted with one
    │   ├── RefusedError
    │   │   ├── PairingError     pairing did not come about
    │   │   └── BondLostError    this machine has a bond that the board may not know any more
    │   └── TransferError
    │       └── LinkLostError    the connection ended
    ├── OfflineError
    │   ├── NotHeardError        the board is not heard
    │   └── NoAnswerError        something was not answered in time, or the radio had no time for it
    └── RadioError               Bluetooth cannot be used on this machine

A driver turns most of them into what they mean for its protocol; one that it does not catch still reads as it should.
"""

from __future__ import annotations

from typing import ClassVar

from enmctl.errors import BoardError, OfflineError, RefusedError, TransferError


class LinkLostError(TransferError):
    """The connection ended, by the board, by this side or by distance."""

    default_reason: ClassVar[str] = "link-lost"


class NotHeardError(OfflineError):
    """The board is not heard, or not any more."""

    default_reason = "not-heard"


class NoAnswerError(OfflineError):
    """The board, or this machine's Bluetooth, did not answer in time."""

    default_reason = "no-answer"


class AttError(BoardError):
    """The board answered an access to a characteristic with an error.

    Args:
        message: see EnmError.
        code: the ATT error (Bluetooth Core, Vol 3, Part F, 3.4.1.1), None where the platform hides it.
    """

    default_reason = "att-error"

    def __init__(self, message: str, code: int | None = None, *, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.code = code


class BondNeededError(AttError):
    """The characteristic is for bonded peers alone, or wants an encrypted link."""

    default_reason = "bond-needed"


class PairingError(RefusedError):
    """Pairing did not come about."""

    default_reason = "pairing-failed"


class BondLostError(RefusedError):
    """The board hangs up, and may not know the bond any more that this machine has; a bad link looks the same."""

    default_reason = "bond-lost"
    default_permanent = False
