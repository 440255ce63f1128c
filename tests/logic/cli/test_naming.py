"""The words by which people name devices."""

from __future__ import annotations

import pytest

from enmctl.errors import UnknownError, UsageError
from enmctl.gateway.naming import find_device, words_of
from enmctl.models import Device


def device(uuid: str, local_id: str | None, name: str = "") -> Device:
    return Device(uuid=uuid, application_id=1, board_type="esp8266", local_id=local_id, name=name)


FLEET = [
    device("64a1ae37aaaa", "1265892", "holy-sunset"),
    device("64a1ae37bbbb", "1265893", "late-moon"),
    device("1265892ccccc", "77", "1265893"),
    device("beefbeefbeef", None),
    device("cafecafecafe", "78", "twin"),
    device("cafedafedafe", "79", "twin"),
]


@pytest.mark.parametrize(
    ("word", "uuid"),
    [
        ("64a1ae37aaaa", "64a1ae37aaaa"),
        ("Holy-Sunset", "64a1ae37aaaa"),
        ("1265892", "64a1ae37aaaa"),
        ("1265893", "64a1ae37bbbb"),
        ("BEEF", "beefbeefbeef"),
        ("cafec", "cafecafecafe"),
    ],
)
def test_a_device_is_found_by_uuid_then_id_then_name_then_beginning(word: str, uuid: str) -> None:
    assert find_device(FLEET, word).uuid == uuid


@pytest.mark.parametrize("word", ["", "nix", "bee", "64a1ae37cccc"])
def test_what_names_nothing_says_where_to_look(word: str) -> None:
    with pytest.raises(UnknownError) as caught:
        find_device(FLEET, word)
    assert "enmctl devices" in caught.value.remedy


@pytest.mark.parametrize("word", ["twin", "64a1ae37", "cafe"])
def test_what_names_several_lists_them(word: str) -> None:
    with pytest.raises(UsageError, match="2 devices") as caught:
        find_device(FLEET, word)
    assert caught.value.remedy.count(", ") == 1


def test_completion_offers_names_and_ids_and_a_uuid_where_there_is_neither() -> None:
    words = words_of(FLEET)
    assert {"holy-sunset", "1265892", "beefbeefbeef"} <= set(words)
    assert "64a1ae37aaaa" not in words
    assert words == sorted(words)
