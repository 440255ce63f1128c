"""Taking typed values out of a TOML table, and noting each that is not what it must be, with where it stands."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from enmctl.sources.fleet.places import Keys

T = TypeVar("T")

KINDS: Final = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "a table",
}
"""What a value is, in words; whatever else TOML has is a date or a time."""

WHOLE_MOST: Final = (1 << 63) - 1
"""The largest whole number that TOML 1.0 promises; Python does not even print some of those beyond."""

TEXT_MOST: Final = 200
"""Letters of a wrong text that are shown."""

VARIABLE: Final = re.compile(r"[^\s=\x00-\x1f\x7f-\x9f]{1,255}")
VARIABLE_ALLOWED: Final = "a word without spaces and without ="

SPAN: Final = re.compile(r"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?", re.ASCII)
"""A span of time, like ``1h30m``."""

SPAN_SECONDS: Final = (86_400, 3600, 60, 1)
SPAN_ALLOWED: Final = 'seconds, or a span like "10m" or "1h30m"'
SPAN_MOST: Final = 365 * 86_400
"""Seconds; more is a mistake."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong; ``of_key`` where it is the key and not its value."""

    keys: Keys
    problem: str
    of_key: bool = False


class Section:
    """One table of the file. Each method takes a value, or notes a fault and gives the default.

    Args:
        values: the table.
        keys: the way to it.
        faults: where faults are noted.
    """

    def __init__(self, values: Mapping[str, Any], keys: Keys, faults: list[Fault]) -> None:
        self._values = values
        self._faults = faults
        self._known: set[str] = set()
        self.keys = keys

    def __contains__(self, name: str) -> bool:
        self._known.add(name)
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def fault(self, name: str, problem: str) -> None:
        """Note what is wrong with a value, or with its absence."""
        self._faults.append(Fault((*self.keys, name), problem))

    def fault_at(self, keys: Keys, problem: str) -> None:
        """Note what is wrong somewhere below."""
        self._faults.append(Fault((*self.keys, *keys), problem))

    def text(self, name: str, pattern: str = r"(?s).+", allowed: str = "text", *, required: bool = False) -> str | None:
        """Text that matches a pattern as a whole; ``allowed`` says it in words."""
        value: str | None = self._take(name, str, allowed, required=required)
        if value is not None and not re.fullmatch(pattern, value):
            self.fault(name, f"{quoted(value)} cannot be {self._called(name)}: it must be {allowed}")
            return None
        return value

    def whole(self, name: str, least: int, most: int) -> int | None:
        """A whole number."""
        allowed = f"a whole number from {least} to {most}"
        value: int | None = self._take(name, int, allowed)
        if value is not None and not least <= value <= most:
            self.fault(name, f"{_shown(value)} cannot be {self._called(name)}: it must be {allowed}")
            return None
        return value

    def flag(self, name: str, *, default: bool = False) -> bool:
        """True or false."""
        value = self._take(name, bool, "true or false")
        return default if value is None else value

    def span(self, name: str) -> float:
        """A span of time in seconds; 0 where it is left out."""
        if not isinstance(self._values.get(name), str):
            value = self._take(name, (int, float), SPAN_ALLOWED)
        else:
            text = self._take(name, str, SPAN_ALLOWED)
            match = SPAN.fullmatch(text or "")
            parts = match.groups() if match else (None,)
            value = None
            if any(parts):
                value = sum(int(part or 0) * unit for part, unit in zip(parts, SPAN_SECONDS, strict=True))
            else:
                self.fault(name, f"{quoted(text or '')} is no span of time: it must be {SPAN_ALLOWED}")
        if value is not None and not 0 <= value <= SPAN_MOST:
            self.fault(name, f"{_shown(value)} s cannot be {self._called(name)}: it must be from 0 to {SPAN_MOST} s")
            return 0.0
        return float(value or 0)

    def list_of(self, name: str, kind: type[T], allowed: str, fits: Callable[[T], bool] = lambda _: True) -> list[T]:
        """A list of values of one kind."""
        values = self._take(name, list, f"a list in which each is {allowed}") or []
        taken = []
        for place, value in enumerate(values):
            if _is(value, kind) and fits(value):
                taken.append(value)
            else:
                self.fault_at((name, place), f"{_shown(value)} cannot be in {name}: it must be {allowed}")
        return taken

    def mapping(self, name: str) -> dict[str, str]:
        """A table of text; its values are shown to nobody, for passwords are among them."""
        taken = {}
        for key, value in (self._take(name, dict, "a table of text", shown=_kind) or {}).items():
            if not VARIABLE.fullmatch(key):
                problem = f"{quoted(key)} cannot be a name in {name}: it must be {VARIABLE_ALLOWED}"
                self._faults.append(Fault((*self.keys, name, key), problem, of_key=True))
            elif isinstance(value, str):
                taken[key] = value
            else:
                self.fault_at((name, key), f"{key} in {name} is {_kind(value)}: it must be text, in quotes")
        return taken

    def section(self, name: str, allowed: str) -> Section | None:
        """A table."""
        value = self._take(name, dict, allowed)
        return None if value is None else Section(value, (*self.keys, name), self._faults)

    def sections(self, name: str, allowed: str) -> dict[str, Section]:
        """A table of tables."""
        taken = {}
        for key, value in (self._take(name, dict, allowed) or {}).items():
            if isinstance(value, dict):
                taken[key] = Section(value, (*self.keys, name, key), self._faults)
            else:
                self.fault_at((name, key), f"{_shown(value)} cannot be in {name}: it must be {allowed}")
        return taken

    def section_list(self, name: str, allowed: str) -> list[Section]:
        """A list of tables."""
        taken = []
        for place, value in enumerate(self._take(name, list, f"a list like [{allowed}]") or []):
            if isinstance(value, dict):
                taken.append(Section(value, (*self.keys, name, place), self._faults))
            else:
                self.fault_at((name, place), f"{_shown(value)} cannot be in {name}: it must be {allowed}")
        return taken

    def raw(self, name: str) -> Any:
        """A value of any kind."""
        self._known.add(name)
        return self._values.get(name)

    def end(self) -> None:
        """Note each key that nobody asked for."""
        for name in self._values:
            if name not in self._known:
                near = difflib.get_close_matches(name, self._known, n=1)
                meant = f", {near[0]} perhaps" if near else ""
                problem = f"unknown key {quoted(name)}{meant}: allowed here are {', '.join(sorted(self._known))}"
                self._faults.append(Fault((*self.keys, name), problem, of_key=True))

    def _take(
        self,
        name: str,
        kind: Any,
        allowed: str,
        *,
        required: bool = False,
        shown: Callable[[Any], str] | None = None,
    ) -> Any:
        self._known.add(name)
        if name not in self._values:
            if required:
                where = f"[{'.'.join(map(str, self.keys))}]" if self.keys else "the file"
                self._faults.append(Fault(self.keys, f"{where} has no {name}: it must be {allowed}", of_key=True))
            return None
        value = self._values[name]
        if not _is(value, kind):
            quotes = ", in quotes" if kind is str and not isinstance(value, (list, dict)) else ""
            self.fault(name, f"{(shown or _shown)(value)} cannot be {self._called(name)}: it must be {allowed}{quotes}")
            return None
        return value

    @staticmethod
    def _called(name: str) -> str:
        return f"`{name}`"


def _is(value: Any, kind: type | tuple[type, ...]) -> bool:
    kinds: Collection[type] = kind if isinstance(kind, tuple) else (kind,)
    return isinstance(value, tuple(kinds)) and (not isinstance(value, bool) or bool in kinds)


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return f"the text {quoted(value)}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and abs(value) > WHOLE_MOST:
        return "so large a number"
    return f"{value}" if isinstance(value, (int, float)) else _kind(value)


def quoted(text: str) -> str:
    """Text of the file as a fault shows it."""
    return repr(text) if len(text) <= TEXT_MOST else f"{text[:TEXT_MOST]!r} and so on"


def _kind(value: Any) -> str:
    return KINDS.get(type(value), "a date or a time")
