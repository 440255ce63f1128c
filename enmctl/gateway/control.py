"""What the HTTP API may ask of the running gateway."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from enmctl.gateway.planning import Planned
from enmctl.models import Device, DeviceStatus, GatewayStatus, Step


class JobKind(StrEnum):
    """What a person may have the gateway do to one board."""

    FLASH = "flash"
    RESTART = "restart"
    IDENTIFY = "identify"
    PROVISION = "provision"


@dataclass(frozen=True, slots=True)
class Job:
    """One thing to do to one board, named by uuid, uuid prefix, local id, device name or address.

    The others come with FLASH alone. ``hold`` keeps the gateway from putting the target back until the target changes.
    ``manner`` is config that stands before the board's own (``enmctl.boards.manner``).
    """

    kind: JobKind
    board: str
    firmware: bytes = b""
    file_name: str = ""
    hold: bool = False
    manner: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hook:
    """What a Supervisor's hook says should be; None is "not said"."""

    commit: str | None
    config: Mapping[str, str] | None = field(repr=False)
    environment: Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class DeviceView:
    """A device as the gateway sees it now; ``progress`` is whole per cent of a running transfer."""

    device: Device
    status: DeviceStatus
    progress: int | None = None


class Control(Protocol):
    """The gateway, as its HTTP API and its command line reach it.

    Methods raise errors of ``enmctl.errors``: ``UnknownError`` for a board or device that is not known, ``BusyError``
    while paused or where the board is being worked on, ``UsageError`` for words that make no sense.
    """

    @property
    def current_status(self) -> GatewayStatus:
        """Paused only once the radios are free."""
        ...

    @property
    def target_status(self) -> GatewayStatus:
        """What was asked for last."""
        ...

    @property
    def paused_by(self) -> str:
        """Who asked for the pause, "" where nobody gave a name or there is none."""
        ...

    async def set_target_status(self, status: GatewayStatus, *, seconds: float | None = None, by: str = "") -> None:
        """Pause (for so many seconds, or until told otherwise) or go on; survives a restart.

        ``by`` is the name under which a pause is asked for; whoever asks last has it.
        """
        ...

    async def devices(self) -> list[DeviceView]:
        """Every device that is a board and was not deleted."""
        ...

    async def device(self, word: str) -> DeviceView:
        """The device of this uuid or local id."""
        ...

    async def take_hook(self, uuid: str, hook: Hook) -> None:
        """Store what the hook says, and wake the loop."""
        ...

    async def delete(self, word: str) -> bool:
        """Stop looking after a device; False where it was not known."""
        ...

    async def want_restart(self, word: str) -> None:
        """Store that the device is to be restarted, and wake the loop."""
        ...

    def work(self, job: Job) -> AsyncGenerator[Step, None]:
        """Do the job through the same queue and journal as everything else, and tell how it goes.

        Whoever stops listening does not stop the job.
        """
        ...

    async def plan(self) -> list[Planned]:
        """What a pass would do now, and why; touches nothing."""
        ...

    async def roll_back(self, word: str, *, application: bool, clear: bool) -> list[str]:
        """Have a device, or all of an application (by id or name), go back to the last good firmware.

        With ``clear`` those that went back come to their target again. Returns what came of it, a line a device.
        """
        ...

    def turning(self) -> bool:
        """Whether the loop turns; says nothing of the outside."""
        ...

    def summary(self) -> dict[str, Any]:
        """What ``enmctl status`` shows of a running gateway: plain JSON values, no secrets."""
        ...
