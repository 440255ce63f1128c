"""What a command may listen on and connect to, as ENM_BLUETOOTH_ADAPTER says."""

from __future__ import annotations

from enmctl.gateway.reach import OUTSIDE, Reach
from enmctl.radio.bluetooth.backend import SIMULATED
from enmctl.settings import Settings


def reach_of(settings: Settings) -> Reach:
    """All of this machine; with a simulated adapter its own network alone, and the air of that simulator.

    Raises:
        RadioError: the adapter is a simulated one, and the simulator is not installed.
    """
    if not settings.bluetooth_adapter.startswith(SIMULATED):
        return OUTSIDE
    from enmctl.cli.worlds import reach_into

    return reach_into(settings.bluetooth_adapter)
