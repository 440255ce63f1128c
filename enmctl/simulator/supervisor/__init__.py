"""A balena Supervisor that is not there: its HTTP API for dependent devices, its hooks, its cloud and its failures."""

from enmctl.simulator.supervisor.faults import MEANINGS, Fault, FaultName, Operation
from enmctl.simulator.supervisor.records import (
    ApplicationRow,
    CloudApplication,
    CloudDevice,
    DeviceRow,
    HookRecord,
    RequestRecord,
)
from enmctl.simulator.supervisor.server import SimulatedSupervisor

__all__ = [
    "MEANINGS",
    "ApplicationRow",
    "CloudApplication",
    "CloudDevice",
    "DeviceRow",
    "Fault",
    "FaultName",
    "HookRecord",
    "Operation",
    "RequestRecord",
    "SimulatedSupervisor",
]
