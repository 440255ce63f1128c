"""The place of every value that tomllib reads is found, however the text is written."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enmctl.sources.fleet.places import Keys, Places, line_and_column

TEXT = '''# first
title = "x # no comment"
a.b."c d" = 1

[table]  # comment
"quoted \\u0041" = 'it'
list = [ 1, [2, "]"], { x = 3, y.z = 4 } , # five
  5,
]
long = """
one "two" \\""" three""""
raw = \'\'\'
it's\'\'\'
when = 1979-05-27 07:32:00

[[many]]
n = 1
[[many]]
n = 2
[many.below]
deep = true
'''


@pytest.mark.parametrize(
    ("keys", "place"),
    [
        (("title",), (2, 9)),
        (("a", "b", "c d"), (3, 13)),
        (("table", "list"), (7, 8)),
        (("table", "list", 0), (7, 10)),
        (("table", "list", 1, 1), (7, 17)),
        (("table", "list", 2, "x"), (7, 29)),
        (("table", "list", 2, "y", "z"), (7, 38)),
        (("table", "list", 3), (8, 3)),
        (("table", "long"), (10, 8)),
        (("table", "raw"), (12, 7)),
        (("table", "when"), (14, 8)),
        (("many", 0, "n"), (17, 5)),
        (("many", 1, "n"), (19, 5)),
        (("many", 1, "below", "deep"), (21, 8)),
        (("table", "absent"), (5, 1)),
        (("absent",), (1, 1)),
        ((), (1, 1)),
    ],
)
def test_a_value_is_found_where_it_stands(keys: Keys, place: tuple[int, int]) -> None:
    tomllib.loads(TEXT)
    assert place_of(TEXT, keys) == place


def test_a_key_is_found_apart_from_its_value() -> None:
    assert place_of(TEXT, ("title",), of_key=True) == (2, 1)
    assert place_of(TEXT, ("table",), of_key=True) == (5, 1)


def place_of(text: str, keys: Keys, *, of_key: bool = False) -> tuple[int, int]:
    return line_and_column(text, Places(text).offset(keys, of_key=of_key))


def paths(value: Any, keys: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in below:
        yield (*keys, key), part
        yield from paths(part, (*keys, key))


WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=6)
VALUES = st.recursive(
    st.integers(-9, 9) | st.booleans() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def written(value: Any) -> str:
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{quoted(key)} = {written(part)}" for key, part in value.items()) + " }"
    return str(value)


@given(st.dictionaries(WORDS, VALUES, max_size=4))
def test_every_value_of_any_text_is_found(values: dict[str, Any]) -> None:
    text = "".join(f"{quoted(key)} = {written(value)} # {key}\n" for key, value in values.items())
    places = Places(text)
    for keys, value in paths(tomllib.loads(text)):
        line, column = line_and_column(text, places.offset(keys))
        assert text.split("\n")[line - 1][column - 1 :].startswith(written(value)), keys
