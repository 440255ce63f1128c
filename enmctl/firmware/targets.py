"""For which boards a file can be, as finely as a file can tell them apart."""

from __future__ import annotations

from enum import StrEnum


class Target(StrEnum):
    """A board, or where a file does not say more, all boards with one chip."""

    MICROBIT_V1 = "microbit-v1"
    MICROBIT_V2 = "microbit-v2"
    NRF51822DK = "nrf51822dk"
    NRF51 = "nrf51"
    NRF52 = "nrf52"
    NORDIC = "nordic"
    ESP8266 = "esp8266"

    @property
    def words(self) -> str:
        """What people call it."""
        return WORDS[self]


WORDS = {
    Target.MICROBIT_V1: "micro:bit V1",
    Target.MICROBIT_V2: "micro:bit V2",
    Target.NRF51822DK: "nRF51822-DK",
    Target.NRF51: "nRF51 boards",
    Target.NRF52: "nRF52 boards",
    Target.NORDIC: "Nordic boards",
    Target.ESP8266: "ESP8266",
}
