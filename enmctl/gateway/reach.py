"""How far a gateway, or work by hand, reaches: this machine's network and radios, or a simulated world alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from enmctl.errors import RadioError
from enmctl.settings import Settings

if TYPE_CHECKING:
    from enmctl.radio.bluetooth import BluetoothRadio

OpenRadio = Callable[[Settings], "BluetoothRadio"]
"""Makes the Bluetooth radio that is to be used, not entered yet. RadioError where there is none."""


def platform_radio(settings: Settings) -> BluetoothRadio:
    """The Bluetooth of this machine."""
    from enmctl.radio.bluetooth import BluetoothRadio

    return BluetoothRadio(settings)


def no_radio(settings: Settings) -> BluetoothRadio:
    """None at all."""
    del settings
    raise RadioError(
        "there is no Bluetooth in this simulated world",
        remedy="install enmctl with its simulator: pip install 'enmctl[simulator]'",
        reason="no-adapter",
    )


@dataclass(frozen=True, slots=True)
class Reach:
    """What may be listened on and connected to.

    Attributes:
        loopback_only: nothing beyond this machine.
        open_bluetooth: makes the Bluetooth radio.
    """

    loopback_only: bool = False
    open_bluetooth: OpenRadio = platform_radio


OUTSIDE: Final = Reach()
"""All that this machine reaches."""

ON_LOOPBACK: Final = Reach(loopback_only=True, open_bluetooth=no_radio)
"""A world on this machine, without Bluetooth."""
