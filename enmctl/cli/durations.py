"""Spans of time as people write and read them: ``90s``, ``10m``, ``1h30m``."""

from __future__ import annotations

import re

from enmctl.errors import UsageError

SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
"""What each unit letter stands for, the longest first, as they must be written."""

LONGEST = 366 * SECONDS["d"]
"""The longest span that is taken, in seconds; more is a slip of the keyboard."""

_NUMBER = r"[0-9]{1,9}"
_DECIMAL = rf"{_NUMBER}(?:\.[0-9]{{1,3}})?"
_SPAN = re.compile(
    "".join(rf"(?:(?P<{unit}>{_DECIMAL if unit == 's' else _NUMBER}){unit})?" for unit in SECONDS), re.ASCII
)


def parse(text: str) -> float:
    """Seconds of a span like ``90s``, ``10m``, ``1h30m`` or ``2d``; a bare number counts seconds.

    Raises:
        UsageError: it is no span of time, nothing at all, or more than ``LONGEST``.
    """
    words = text.strip().lower()
    match = _SPAN.fullmatch(words + "s" if re.fullmatch(_DECIMAL, words) else words)
    span = sum(float(match[unit] or 0) * length for unit, length in SECONDS.items()) if match else 0.0
    if not 0 < span <= LONGEST:
        raise UsageError(f"{text!r} is no span of time", remedy="write it like 90s, 10m or 1h30m")
    return span


def seconds(text: str | None) -> float | None:
    """The same of an option that may be left out. Raises UsageError likewise."""
    return None if text is None else parse(text)


def spell(span: float) -> str:
    """A span in its two largest units, like ``1h30m``; less than a minute with one decimal, like ``4.2s``."""
    if span < SECONDS["m"]:
        return f"{span:.1f}s" if span % 1 else f"{span:.0f}s"
    left, parts = round(span), []
    for unit, length in SECONDS.items():
        count, left = divmod(left, length)
        parts.append((count, unit))
    first = next(place for place, (count, _) in enumerate(parts) if count)
    return "".join(f"{count}{unit}" for count, unit in parts[first : first + 2] if count)
