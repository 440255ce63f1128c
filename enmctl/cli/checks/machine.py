"""What the machine itself must have: Python, folders, a whole database, a port, a clock, and no foreign lock."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sqlite3
import time
from pathlib import Path
from typing import Final

from enmctl import __version__
from enmctl.cli.checks.finding import Finding, fault, ok, warning
from enmctl.cli.durations import spell
from enmctl.cli.standing import foreign_lock
from enmctl.errors import BusyError, EnmError, StoreError
from enmctl.gateway.api.server import check_exposure
from enmctl.gateway.at_work import gateway_at_work
from enmctl.settings import Settings
from enmctl.store import reading

ROOM_LEAST: Final = 64 << 20
"""Bytes that a folder for firmware should have free: some releases."""

BUILT: Final = 1_764_547_200
"""2025-12-01: no clock that goes right is before this program was written."""

AHEAD_MOST: Final = 300
"""Seconds by which what was written last may be in the future, before the clock counts as set back."""


def python(_: Settings) -> Finding:
    """Which Python runs this; an older one than can be used would not have come so far."""
    return ok("python", f"enmctl {__version__} on Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}")


def database_folder(settings: Settings) -> Finding:
    """Whether the database can be kept where it should."""
    return _folder("database folder", settings.db_directory, "ENM_DB_DIRECTORY")


def assets_folder(settings: Settings) -> Finding:
    """Whether firmware can be kept where it should."""
    return _folder("assets folder", settings.assets_directory, "ENM_ASSETS_DIRECTORY")


def _folder(check: str, path: Path, variable: str) -> Finding:
    there = next((place for place in (path, *path.parents) if os.path.exists(place)), path)
    if not os.path.isdir(there) or not os.access(there, os.W_OK | os.X_OK):
        what = (
            "is no folder" if os.path.exists(there) and not os.path.isdir(there) else "may not be written by this user"
        )
        return fault(
            check, StoreError(f"{path}: {there} {what}", remedy=f"let this user write there, or set {variable}")
        )
    free = shutil.disk_usage(there).free
    state = "writable" if there == path else "not there yet, and can be made"
    if free < ROOM_LEAST:
        return warning(check, f"{path} is {state}, and its disk has {free >> 20} MiB free", "make room on it")
    return ok(check, f"{path} is {state}")


def database(settings: Settings) -> Finding:
    """Whether the database is whole."""
    try:
        devices = reading.check(settings.database)
    except StoreError as error:
        if error.reason == "older-schema":
            return warning("database", error.message, error.remedy)
        return fault("database", error)
    if devices is None:
        return ok("database", f"{settings.database} is not there yet")
    return ok("database", f"{settings.database} is whole, with {devices} devices")


def update_lock(settings: Settings) -> Finding:
    """Whether somebody keeps transfers from starting."""
    held = foreign_lock(settings)
    if held is not None:
        return warning(
            "update lock",
            f"somebody else holds {held}, so transfers wait",
            "it goes when the Supervisor is done; remove it where none runs",
        )
    return ok("update lock", "nobody else holds it")


def api_port(settings: Settings) -> Finding:
    """Whether the HTTP API answers, or could be opened."""
    try:
        check_exposure(settings)
        at_work = gateway_at_work(settings)
        if at_work is not None:
            found, client = at_work
            if client is None:
                return ok("HTTP API", f"{found} is at work, and has none")
            client.status()
            return ok("HTTP API", f"{found} answers")
    except EnmError as error:
        return fault("HTTP API", error)
    place = f"{settings.api_host}:{settings.api_port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.api_host, settings.api_port, type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return fault(
            "HTTP API",
            BusyError(f"{place} cannot be opened ({error.strerror or error})", remedy="set another ENM_API_PORT"),
        )
    return ok("HTTP API", f"{place} is free")


def clock(settings: Settings) -> Finding:
    """Whether the clock goes right, as far as that can be told."""
    now = time.time()
    shown = time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(now))
    if now < BUILT:
        return warning("clock", f"it says {shown}, which is past", "set it, or let NTP do it: timedatectl set-ntp true")
    try:
        attempts = reading.read_attempts(settings.database, limit=1)
    except StoreError:
        attempts = []
    ahead = max((attempt.ended_at or attempt.started_at for attempt in attempts), default=now) - now
    if ahead > AHEAD_MOST:
        return warning("clock", f"it says {shown}, and the last attempt was {spell(round(ahead))} later", "set it")
    return ok("clock", f"it says {shown}")
