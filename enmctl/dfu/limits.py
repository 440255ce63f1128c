"""How long a transfer waits for what, and how often it tries."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds, and numbers of tries.

    Attributes:
        operation: one GATT operation.
        answer: an ordinary notification, and the finding and connecting of a board.
        erase: the answer to the START of the legacy protocol, which comes when the flash is erased. An nRF51 takes 3 s
            for all of it, an nRF52840 was measured at 37 s.
        stall: a receipt that is overdue is asked after.
        gone: a board that was told to restart ends the connection within this time.
        orderly: a board that takes the order to start what it has ends the connection itself within this time; one
            whose power was cut just then is lost later, when its silence shows.
        back: a board that was restarted is heard again within this time.
        silent: the same for a board whose new program may have no Bluetooth: then nobody will hear it.
        tries: so many connections in a row that bring nothing forward, and it is given up.
        restarts: so many times the whole is sent anew before it is given up.
        object_tries: so many times one object of the secure protocol is sent.
    """

    operation: float = 1.0
    answer: float = 10.0
    erase: float = 90.0
    stall: float = 2.0
    gone: float = 5.0
    orderly: float = 2.0
    back: float = 60.0
    silent: float = 10.0
    tries: int = 4
    restarts: int = 8
    object_tries: int = 4
