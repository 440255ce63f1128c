"""Which interfaces zeroconf is told to listen on, when some of them came, went, or were made anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pytest
from zeroconf import InterfaceChoice
from zeroconf.asyncio import AsyncZeroconf

from enmctl.radio import multicast
from enmctl.radio.multicast import take_in_interfaces

Numbers = Mapping[str, frozenset[int]]

OF_THE_HOTSPOT, OF_THE_CABLE = "10.42.0.1", "192.0.2.7"
ONE, TWO, SIX = frozenset({1}), frozenset({2}), frozenset({6})


class Listened:
    """Notes what it is told to listen on."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    async def async_update_interfaces(self, interfaces: Any) -> None:
        self.told.append(sorted(interfaces) if isinstance(interfaces, list) else interfaces)


async def told(
    monkeypatch: pytest.MonkeyPatch, listen_on: tuple[str, ...] | None, known: Numbers, now: Numbers
) -> list[Any]:
    monkeypatch.setattr(multicast, "_is_here", lambda address: address in now)
    monkeypatch.setattr(multicast, "interface_numbers", lambda: now)
    listened = Listened()
    assert await take_in_interfaces(cast("AsyncZeroconf", listened), listen_on, known) == now
    return listened.told


async def test_one_that_was_made_anew_with_its_address_is_left_and_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    both = (OF_THE_HOTSPOT, OF_THE_CABLE)
    known = {OF_THE_HOTSPOT: ONE, OF_THE_CABLE: TWO}
    now = {OF_THE_HOTSPOT: SIX, OF_THE_CABLE: TWO}
    assert await told(monkeypatch, both, known, now) == [[OF_THE_CABLE], sorted(both)]
    assert await told(monkeypatch, (OF_THE_HOTSPOT,), known, now) == [[], [OF_THE_HOTSPOT]]
    assert await told(monkeypatch, None, known, now | {"2001:db8::7": ONE}) == [[OF_THE_CABLE], InterfaceChoice.All]


async def test_nothing_is_left_where_none_was_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {OF_THE_HOTSPOT: ONE, OF_THE_CABLE: TWO}
    assert await told(monkeypatch, (OF_THE_CABLE,), known, known | {OF_THE_HOTSPOT: SIX}) == [[OF_THE_CABLE]]
    assert await told(monkeypatch, (OF_THE_HOTSPOT,), {OF_THE_CABLE: TWO}, known) == [[OF_THE_HOTSPOT]]
    assert await told(monkeypatch, None, known, {OF_THE_CABLE: TWO}) == [InterfaceChoice.All]
