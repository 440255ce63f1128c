"""Where in a TOML text a value stands; looked up only when there is something to say of it.

``tomllib`` reads fast and tells no places. The text has been read by it before, so this walks through valid TOML 1.0
(https://toml.io/en/v1.0.0) and checks nothing.
"""

from __future__ import annotations

import re
from typing import Final

Keys = tuple[str | int, ...]
"""The way to a value: keys of tables, and places in arrays."""

_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_BLANK: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE: Final = re.compile(r"[ \t]*")
_PLAIN_VALUE: Final = re.compile(r"[^,\]}\n#]*")
_QUOTES: Final = ('"""', "'''", '"', "'")
_ESCAPE: Final = re.compile(r"\\(u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|.)", re.DOTALL)
_SHORT_ESCAPES: Final = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r"}


class Places:
    """Where everything in a text stands; the text is walked through once."""

    def __init__(self, text: str) -> None:
        self._walker = _Walker(text)
        self._walker.walk()

    def offset(self, keys: Keys, *, of_key: bool = False) -> int:
        """Where a value or its key begins; the nearest table around it where it is not there."""
        keys_at, values_at = self._walker.keys, self._walker.values
        first, second = (keys_at, values_at) if of_key else (values_at, keys_at)
        for length in range(len(keys), 0, -1):
            part = keys[:length]
            offset = first.get(part, second.get(part)) if length == len(keys) else keys_at.get(part)
            if offset is not None:
                return offset
        return 0


def line_and_column(text: str, offset: int) -> tuple[int, int]:
    """The line and the column of an offset, from 1 on, as editors count them."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


class _Walker:
    """Notes where each key and each value begins."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._arrays: dict[Keys, int] = {}
        self.keys: dict[Keys, int] = {}
        self.values: dict[Keys, int] = {}

    def walk(self) -> None:
        table: Keys = ()
        while self._skip(_BLANK) < len(self._text):
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)

    def _skip(self, pattern: re.Pattern[str]) -> int:
        match = pattern.match(self._text, self._at)
        self._at = match.end() if match else self._at
        return self._at

    def _header(self) -> Keys:
        is_array = self._text.startswith("[[", self._at)
        start = self._at
        self._at += 2 if is_array else 1
        names = self._names()
        self._at += 2 if is_array else 1
        table: Keys = ()
        for number, (name, _) in enumerate(names):
            table = (*table, name)
            is_last = number == len(names) - 1
            self.keys.setdefault(table, start)
            if is_last and is_array:
                self._arrays[table] = self._arrays.get(table, -1) + 1
            if table in self._arrays:
                table = (*table, self._arrays[table])
                self.keys.setdefault(table, start)
        return table

    def _names(self) -> list[tuple[str, int]]:
        """A key with dots, part by part, each with its offset."""
        names = []
        while True:
            self._skip(_SPACE)
            start = self._at
            if self._text[start] in "\"'":
                names.append((self._string(), start))
            else:
                self._skip(_BARE_KEY)
                names.append((self._text[start : self._at], start))
            self._skip(_SPACE)
            if not self._text.startswith(".", self._at):
                return names
            self._at += 1

    def _pair(self, table: Keys) -> None:
        keys = table
        for name, start in self._names():
            keys = (*keys, name)
            self.keys.setdefault(keys, start)
        self._at += 1  # the equals sign
        self._skip(_SPACE)
        self._value(keys)

    def _value(self, keys: Keys) -> None:
        self.values[keys] = self._at
        first = self._text[self._at : self._at + 1]
        if first in ('"', "'"):
            self._string()
        elif first == "[":
            self._array(keys)
        elif first == "{":
            self._inline_table(keys)
        else:
            self._skip(_PLAIN_VALUE)

    def _array(self, keys: Keys) -> None:
        self._at += 1
        number = 0
        while self._skip(_BLANK) < len(self._text):
            if self._text[self._at] == "]":
                break
            if self._text[self._at] == ",":
                self._at += 1
                continue
            self._value((*keys, number))
            number += 1
        self._at += 1

    def _inline_table(self, keys: Keys) -> None:
        self._at += 1
        while self._skip(_BLANK) < len(self._text):
            if self._text[self._at] == "}":
                break
            if self._text[self._at] == ",":
                self._at += 1
                continue
            self._pair(keys)
        self._at += 1

    def _string(self) -> str:
        quote = next(quote for quote in _QUOTES if self._text.startswith(quote, self._at))
        start = self._at = self._at + len(quote)
        while not self._text.startswith(quote, self._at):
            self._at += 2 if quote[0] == '"' and self._text[self._at] == "\\" else 1
        while len(quote) > 1 and self._text.startswith(quote, self._at + 1):
            self._at += 1  # quotation marks of the text itself, just before the three that end it
        content = self._text[start : self._at]
        self._at += len(quote)
        return _ESCAPE.sub(_unescaped, content) if quote[0] == '"' else content


def _unescaped(match: re.Match[str]) -> str:
    code = match[1]
    return chr(int(code[1:], 16)) if code[0] in "uU" else _SHORT_ESCAPES.get(code, code)
