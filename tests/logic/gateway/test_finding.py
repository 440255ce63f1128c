"""Which board a person means of those that are heard over Bluetooth."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from enmctl.boards.contract import BoardDriver
from enmctl.boards.esp8266 import Esp8266
from enmctl.boards.nrf51822dk import Nrf51822Dk
from enmctl.dfu.gatt import LEGACY_SERVICE
from enmctl.errors import OfflineError, RadioError
from enmctl.gateway.finding import find_targets
from enmctl.gateway.jobs import Target
from enmctl.gateway.lookout import Bench
from enmctl.models import BoardMode, Device
from enmctl.radio.bluetooth import Advert
from enmctl.settings import Settings

OWN, NEXT, OTHER = "C0:00:00:00:00:FF", "C0:00:00:00:00:00", "C0:00:00:00:00:07"
DEVICE = Device("abcdef-1", 4711, "nrf51822dk", OWN, "holy-sunset", first_listed=1)


class Air:
    """A radio that hears some boards once."""

    def __init__(self, *adverts: Advert) -> None:
        self._adverts = adverts

    def listen(self, listener: Callable[[Advert], object]) -> Callable[[], None]:
        for advert in self._adverts:
            asyncio.get_running_loop().call_soon(listener, advert)
        return lambda: None


def bootloader(address: str) -> Advert:
    return Advert(address, "DfuTarg", frozenset({LEGACY_SERVICE}))


async def found(word: str, *adverts: Advert, **known: Any) -> Target:
    driver = Nrf51822Dk(Settings())
    driver.surroundings.bluetooth = cast("Any", Air(*adverts))
    bench = Bench(Settings(), {"nrf51822dk": driver}, **known)
    (target,) = await find_targets(bench, [word], 0.05)
    if not isinstance(target, Target):
        raise target
    return target


@pytest.mark.parametrize("word", ["holy-sunset", OWN, OWN.lower(), "abcdef", NEXT])
async def test_a_device_whose_bootloader_has_the_next_address_is_found_by_all_its_names(word: str) -> None:
    target = await found(word, bootloader(OTHER), bootloader(NEXT), devices=[DEVICE])
    assert (target.device, target.board.key, target.board.mode) == (DEVICE, DEVICE.key, BoardMode.BOOTLOADER)
    assert target.board.addresses == (OWN,)


@pytest.mark.parametrize("word", ["lamp", OWN])
async def test_so_is_a_board_that_waits_for_the_rest_of_a_program(word: str) -> None:
    target = await found(word, bootloader(NEXT), begun={OWN: "lamp"})
    assert (target.device, target.board.local_id, target.board.short_name) == (None, OWN, "lamp")


async def test_a_device_with_that_address_of_its_own_is_no_others_bootloader() -> None:
    neighbour = Device("fedcba-1", 4711, "nrf51822dk", NEXT, "late-river", first_listed=2)
    with pytest.raises(OfflineError):
        await found("holy-sunset", bootloader(NEXT), devices=[DEVICE, neighbour])
    target = await found("late-river", bootloader(NEXT), devices=[DEVICE, neighbour])
    assert target.device == neighbour


async def test_a_program_at_the_next_address_is_another_board() -> None:
    with pytest.raises(OfflineError):
        await found("holy-sunset", Advert(NEXT, "4711"), devices=[DEVICE])


@pytest.mark.parametrize(
    ("word", "fitting"), [("zavit", None), (OWN, None), ("holy-sunset", ["nrf51822dk"]), ("abcdef-1", None)]
)
async def test_without_bluetooth_what_it_alone_could_bring_is_not_waited_for(
    word: str, fitting: list[str] | None
) -> None:
    settings, trouble = Settings(), RadioError("Bluetooth is off")
    drivers: dict[str, BoardDriver] = {"nrf51822dk": Nrf51822Dk(settings), "esp8266": Esp8266(settings)}
    devices = [] if fitting else [DEVICE]
    bench = Bench(settings, drivers, devices, fitting=fitting, trouble=[trouble])
    async with asyncio.timeout(1.0):
        assert await find_targets(bench, [word], 600.0) == [trouble]
