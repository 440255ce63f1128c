"""What keeps one pass of a transfer from its end, without being the end of the transfer."""

from __future__ import annotations


class StartOverError(Exception):
    """This pass cannot be brought to its end: the board was reset, and the whole is to be sent anew.

    ``why`` is a clause for people ("it said …"). With ``refused`` the board will say the same again to the same bytes.
    """

    def __init__(self, why: str, *, refused: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.refused = refused
