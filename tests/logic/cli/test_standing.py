"""How a gateway stands, in words."""

from __future__ import annotations

import pytest

from enmctl.cli.standing import _radio_words


@pytest.mark.parametrize(
    ("radios", "words"),
    [
        ({"wifi": None}, "Wi-Fi is listened on"),
        ({"wifi": None, "bluetooth": None}, "Bluetooth is listened on; Wi-Fi is listened on"),
        ({"bluetooth": "there is no adapter: plug one in"}, "Bluetooth: there is no adapter: plug one in"),
    ],
)
def test_each_radio_is_listened_on_or_says_why_not(radios: dict[str, str | None], words: str) -> None:
    assert _radio_words(radios) == words
