"""What may be listened on and connected to, as ENM_BLUETOOTH_ADAPTER says."""

from __future__ import annotations

from enmctl.errors import RadioError
from enmctl.gateway.reach import OUTSIDE, Reach
from enmctl.radio.bluetooth.backend import SIMULATED
from enmctl.settings import Settings


def reach_of(settings: Settings) -> Reach:
    """All of this machine; with a simulated adapter its own network alone, and the air of that simulator.

    Raises:
        RadioError: the adapter is a simulated one, and the simulator is not installed.
    """
    adapter = settings.bluetooth_adapter
    if not adapter.startswith(SIMULATED):
        return OUTSIDE
    try:
        from enmctl.simulator.bluetooth.channel import virtual_radio
    except ImportError:
        raise RadioError(
            "simulated Bluetooth is not installed",
            remedy="install it: pip install 'enmctl[simulator]', or leave ENM_BLUETOOTH_ADAPTER empty",
            reason="no-simulator",
        ) from None
    from enmctl.radio.bluetooth import BluetoothRadio

    return Reach(loopback_only=True, open_bluetooth=lambda settings: BluetoothRadio(settings, virtual_radio(adapter)))
