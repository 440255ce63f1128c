"""What keeps one pass of a transfer from its end, without being the end of the transfer."""

from __future__ import annotations

from enmctl.dfu.link import AbsentError, GattError, LinkError
from enmctl.errors import RefusedError


class StartOverError(Exception):
    """This pass cannot be brought to its end: the board was reset, and the whole is to be sent anew.

    ``why`` is a clause for people ("it said …"). With ``refused`` the board will say the same again to the same bytes.
    """

    def __init__(self, why: str, *, refused: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.refused = refused


def needs_bond(name: str) -> RefusedError:
    """The error for a board that lets nobody in without a bond."""
    return RefusedError(
        f"{name} wants to be paired with first",
        remedy="bring it into its pairing mode and flash it from a terminal, which pairs with it",
        reason="needs-bond",
        permanent=False,
    )


def in_words(error: LinkError) -> str:
    """What a link did not do, as a clause for people."""
    if isinstance(error, AbsentError):
        return "it was not heard, or took no connection"
    if isinstance(error, GattError):
        return f"it answered with an error ({error})"
    return "the connection broke"
