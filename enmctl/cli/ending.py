"""SIGTERM, and SIGHUP of a terminal that is gone, end a command as Ctrl-C does: at a safe point."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Final

SIGNALS: Final = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


def as_ctrl_c() -> None:
    """Have the signals that would kill the program be Ctrl-C; one that is ignored (nohup) stays so."""
    for number in SIGNALS:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _end)


def _end(_: int, __: FrameType | None) -> None:
    """The first of them is Ctrl-C, and whatever comes with it nothing: a second Ctrl-C would wait for no safe point."""
    for number in SIGNALS:
        if signal.getsignal(number) is _end:
            signal.signal(number, _be_at_it)
    if callable(signal.getsignal(signal.SIGINT)):
        signal.raise_signal(signal.SIGINT)
    else:  # a shell had it ignored, as it does for what runs in the background
        raise KeyboardInterrupt


def _be_at_it(_: int, __: FrameType | None) -> None:
    """Do nothing; unlike an ignored signal, this is not handed on to programs that are started."""
