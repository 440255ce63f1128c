"""The gateway's Bluetooth, over bleak.

``BluetoothRadio`` hears boards and connects to them; ``errors`` draws what can go wrong.
"""

from enmctl.radio.bluetooth.advert import Advert
from enmctl.radio.bluetooth.backend import Backend, Passkey
from enmctl.radio.bluetooth.connection import Connection, Notification
from enmctl.radio.bluetooth.errors import (
    AttError,
    BondLostError,
    BondNeededError,
    LinkLostError,
    NoAnswerError,
    NotHeardError,
    PairingError,
)
from enmctl.radio.bluetooth.radio import BluetoothRadio

__all__ = [
    "Advert",
    "AttError",
    "Backend",
    "BluetoothRadio",
    "BondLostError",
    "BondNeededError",
    "Connection",
    "LinkLostError",
    "NoAnswerError",
    "NotHeardError",
    "Notification",
    "PairingError",
    "Passkey",
]
