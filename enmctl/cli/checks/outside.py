"""Whether the source of desired state answers and takes our key, and which radios its boards need."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection
from typing import Final

from enmctl.boards.installed import board_types, drivers
from enmctl.cli.checks.finding import Finding, fault, ok, warning
from enmctl.errors import EnmError, SourceAwayError, StoreError
from enmctl.models import Desired, Radio
from enmctl.settings import Settings
from enmctl.sources.installed import open_source
from enmctl.store.reading import read_devices

LIMIT: Final = 10.0
"""Seconds for the source to answer."""


async def source(settings: Settings) -> tuple[Finding, Desired | None]:
    """Whether the source answers, and what it says."""
    place = settings.supervisor_address if settings.source == "supervisor" else settings.source
    try:
        async with asyncio.timeout(LIMIT), open_source(settings, board_types()) as opened:
            desired = await opened.fetch()
            complaints = list(getattr(opened, "complaints", ()))
    except TimeoutError:
        error = SourceAwayError(f"{place} does not answer within {LIMIT:g} s", remedy="see that it runs")
        return fault(settings.source, error), None
    except EnmError as error:
        return fault(settings.source, error), None
    applications = len(desired.applications) if desired else 0
    found = f"{place} answers, with {applications} applications and {len(desired.devices) if desired else 0} devices"
    if complaints:
        return warning(settings.source, f"{found}; {complaints[0]}"), desired
    return ok(settings.source, found), desired


def needed_radios(settings: Settings, desired: Desired | None) -> Collection[Radio]:
    """The radios of the boards that there are or should be; all where none are known."""
    types = {application.board_type for application in desired.applications.values()} if desired else set()
    with contextlib.suppress(StoreError):  # a check of its own tells it
        types |= {device.board_type for device in read_devices(settings.database)}
    known = drivers(settings)
    return {known[each].radio for each in types if each in known} or set(Radio)
