"""What a setting's value may be: for each kind the words that say it, and the function that reads it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

Number = TypeVar("Number", int, float)


class Kind(NamedTuple):
    """What a value may be, in words, and the function that reads it (ValueError where it is not)."""

    allowed: str
    parse: Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable, as people are told of it; of its spellings the first wins."""

    names: tuple[str, ...]
    default: str
    unit: str
    kind: Kind
    meaning: str
    original: bool
    secret: bool

    @property
    def name(self) -> str:
        """The spelling that documentation leads with: the original's where there is one."""
        return self.names[-1]


def _number(kind: type[Number], least: Number, most: Number) -> Callable[[str], Number]:
    def parse(text: str) -> Number:
        value = kind(text)
        if not least <= value <= most:
            raise ValueError(text)
        return value

    return parse


def seconds(least: float = 0, most: float = 86_400) -> Kind:
    """A span of seconds, fractions allowed."""
    return Kind(f"a number from {least:g} to {most:g}", _number(float, least, most))


def count(least: int, most: int) -> Kind:
    """A whole number."""
    return Kind(f"a whole number from {least} to {most}", _number(int, least, most))


def one_of(*words: str) -> Kind:
    """One of some words, in any letter case."""

    def parse(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(text)
        return text.lower()

    return Kind("one of " + ", ".join(words), parse)


def matching(pattern: str, allowed: str) -> Kind:
    """Text that matches a regular expression as a whole; ``allowed`` says it in words."""

    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(text)
        return text

    return Kind(allowed, parse)


def _flag(text: str) -> bool:
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    try:
        return words[text.lower()]
    except KeyError:
        raise ValueError(text) from None


def _path(text: str) -> Path:
    if "\0" in text:
        raise ValueError(text)
    return Path(text)


def checked_later(allowed: str) -> Kind:
    """Any text: whoever uses the value refuses what it cannot use, so that all else goes on without it."""
    return Kind(allowed, str)


LOG_LEVEL = one_of("debug", "info", "warn", "warning", "error", "fatal", "panic")
HTTP_ADDRESS = matching(r"https?://[^\s/?#@]+(/[^\s?#]*)?", "an address like http://127.0.0.1:48484")
FLAG = Kind("on or off", _flag)
PATH = Kind("a path", _path)
FILE_NAME = matching(r"(?!\.{1,2}$)[^/\\\0]{1,255}", "a file name without a folder")
HOST = matching(r"[^\s/]+", "an address or a host name")


def setting(
    *names: str,
    kind: Kind,
    default: str,
    meaning: str,
    unit: str = "",
    original: bool = False,
    secret: bool = False,
    factory: Callable[[], Any] | None = None,
) -> Any:
    """A field of ``Settings``, with all that people are told of its variable.

    Args:
        names: its spellings, the one that wins first, the one that documentation leads with last.
        kind: what a value may be.
        default: the value where it is unset, as text.
        meaning: one sentence.
        unit: of a number.
        original: whether edge-node-manager had it.
        secret: whether its value is never to be shown.
        factory: makes the default where it depends on the machine; else it is read from ``default``.
    """
    variable = Variable(names, default, unit, kind, meaning, original, secret)
    return field(
        default_factory=factory or (lambda: kind.parse(default)),
        repr=not secret,
        metadata={"variable": variable},
    )
