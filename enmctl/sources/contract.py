"""What a source of desired state is: the contract that the Supervisor, a fleet file and any plug-in keep.

A source is found through the entry-point group ``enmctl.sources``: the entry's name is the source's name and its value
the class. The gateway never knows which one it talks to.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Protocol, Self

from enmctl.models import Application, Desired, Provisioned, Report
from enmctl.settings import Settings

Progressed = Callable[[int, int], None]
"""Called with bytes done and bytes in all (0 while not known)."""


class Source(Protocol):
    """Where the gateway learns what should run, and whom it tells what does.

    Every method raises only errors of ``enmctl.errors`` (mostly ``SourceError`` and its kin) and bounds every wait.
    It may have more: ``complaints``, a list of lines that are said once each after a ``fetch``; ``address``, what
    people know it by; ``async check()``, called once after entering, which raises what only a person can put right, and
    then the gateway does not start; and ``watch(changed)``, called once after that, which has ``changed()`` called
    whenever ``fetch`` would bring something new.
    """

    name: str

    def __init__(self, settings: Settings, board_types: Collection[str]) -> None:
        """``board_types`` are the types for which a driver is installed."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *_: object) -> None: ...

    async def reachable(self) -> bool:
        """Whether the source answers anything at all, now."""
        ...

    async def fetch(self) -> Desired | None:
        """All that should be; None where it is to the letter what the last call returned.

        Raises:
            SourceAwayError: not reachable now.
            SourceRefusedError: it does not let us in.
            SourceAnswerError: what it said makes no sense; the last answer stays in force.
        """
        ...

    async def listed(self, uuid: str) -> bool:
        """Whether the source still knows this device: asked for one that its list left out."""
        ...

    async def provision(self, application: Application, local_id: str) -> Provisioned:
        """Make a new device. Must not be repeated blindly.

        Raises:
            LostAnswerError: the request may have been carried out; only a later list tells.
            SourceAwayError: it was surely not carried out.
            SourceRefusedError: it will not be.
        """
        ...

    async def fetch_asset(self, application: Application, commit: str, folder: Path, progressed: Progressed) -> None:
        """Fill ``folder`` with the unpacked firmware asset of ``commit``.

        What an earlier, broken call left in the folder is taken up where that is safe, and removed where it is not.

        Raises:
            SourceGoneError: the source has no such asset now; the target has probably changed.
            SourceAwayError: try again later.
            FirmwareError: what came is broken, and would be again (unless the error says that it is not permanent).
            StoreError: the disk is full, or cannot be written.
        """
        ...

    async def report(self, uuid: str, report: Report) -> None:
        """Tell what became of a device.

        Raises:
            SourceAwayError: keep it and say it later.
            SourceGoneError: the source does not know the device any more.
            SourceRefusedError: it will never take this report.
        """
        ...

    async def log(self, uuid: str, message: str, at: float) -> None:
        """Add one line of plain text to the device's log; ``at`` is seconds since the epoch."""
        ...
