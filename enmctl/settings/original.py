"""The variables of edge-node-manager, with its names and defaults."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from enmctl.settings.folders import data_folder
from enmctl.settings.kinds import (
    FILE_NAME,
    HTTP_ADDRESS,
    LOG_LEVEL,
    PATH,
    checked_later,
    count,
    matching,
    seconds,
    setting,
)

NO_KEY = "na"
"""The original's way to say that there is no API key."""

DEFAULT_HOTSPOT = "resin-hotspot"
"""The original's name of its hotspot, and its password, which everybody knows."""


@dataclass(frozen=True, kw_only=True)
class OriginalSettings:
    """The original's nineteen."""

    log_level: str = setting(
        "ENM_LOG_LEVEL", kind=LOG_LEVEL, default="info", original=True, meaning="How much the gateway logs."
    )
    dependent_log_level: str = setting(
        "DEPENDENT_LOG_LEVEL",
        kind=LOG_LEVEL,
        default="info",
        original=True,
        meaning="How much of what happens to a device goes to that device's own log.",
    )
    supervisor_check_delay: float = setting(
        "ENM_SUPERVISOR_CHECK_DELAY",
        kind=seconds(0.01),
        default="1",
        unit="s",
        original=True,
        meaning="The time between two looks whether the Supervisor answers, while it does not.",
    )
    hotspot_delete_delay: float = setting(
        "ENM_HOTSPOT_DELETE_DELAY",
        kind=seconds(),
        default="10",
        unit="s",
        original=True,
        meaning="The longest wait for an old hotspot to go before the new one is raised.",
    )
    loop_delay: float = setting(
        "ENM_CONFIG_LOOP_DELAY",
        kind=seconds(0.01),
        default="10",
        unit="s",
        original=True,
        meaning="The longest idle time between two passes; an event starts one sooner.",
    )
    pause_delay: float = setting(
        "ENM_CONFIG_PAUSE_DELAY",
        kind=seconds(),
        default="10",
        unit="s",
        original=True,
        meaning='The longest time from "Paused" asked to no new work.',
    )
    hotspot_ssid: str = setting(
        "ENM_HOTSPOT_SSID",
        kind=checked_later("a name of 1 to 32 bytes"),
        default=DEFAULT_HOTSPOT,
        original=True,
        meaning="The name of the Wi-Fi network that the gateway raises for ESP8266 boards.",
    )
    hotspot_password: str = setting(
        "ENM_HOTSPOT_PASSWORD",
        kind=checked_later("8 to 63 bytes, or 64 hexadecimal digits"),
        default=DEFAULT_HOTSPOT,
        original=True,
        secret=True,
        meaning="The password of that network. Everybody knows the default.",
    )
    bluetooth_short_timeout: float = setting(
        "ENM_BLUETOOTH_SHORT_TIMEOUT",
        kind=seconds(0.01),
        default="1",
        unit="s",
        original=True,
        meaning="The limit of one Bluetooth GATT operation.",
    )
    bluetooth_long_timeout: float = setting(
        "ENM_BLUETOOTH_LONG_TIMEOUT",
        kind=seconds(0.01),
        default="10",
        unit="s",
        original=True,
        meaning="The limit of a one-off Bluetooth scan, of one try at a connection, and of the wait for an ordinary "
        "notification.",
    )
    avahi_timeout: float = setting(
        "ENM_AVAHI_TIMEOUT",
        kind=seconds(0.01),
        default="10",
        unit="s",
        original=True,
        meaning="The limit of a one-off mDNS scan; nobody waits for it when the answer is there.",
    )
    update_retries: int = setting(
        "ENM_UPDATE_RETRIES",
        kind=count(1, 100),
        default="1",
        original=True,
        meaning="How many attempts at an update follow each other before the device has to wait (1: one).",
    )
    assets_directory: Path = setting(
        "ENM_ASSETS_DIRECTORY",
        kind=PATH,
        default="/data/assets",
        original=True,
        factory=data_folder("assets"),
        meaning="Where firmware is kept. Without a writable /data: assets in the user's data folder.",
    )
    db_directory: Path = setting(
        "ENM_DB_DIRECTORY",
        kind=PATH,
        default="/data/database",
        original=True,
        factory=data_folder("database"),
        meaning="Where the database is kept. Without a writable /data: database in the user's data folder.",
    )
    db_file: str = setting(
        "ENM_DB_FILE", kind=FILE_NAME, default="enm.db", original=True, meaning="The database's file name."
    )
    api_version: str = setting(
        "ENM_API_VERSION",
        kind=matching(r"[A-Za-z0-9._-]+", "a path element like v1"),
        default="v1",
        original=True,
        meaning="The version element in the path of the Supervisor's addresses.",
    )
    supervisor_address: str = setting(
        "BALENA_SUPERVISOR_ADDRESS",
        "RESIN_SUPERVISOR_ADDRESS",
        kind=HTTP_ADDRESS,
        default="http://127.0.0.1:4000",
        original=True,
        meaning="Where the Supervisor answers.",
    )
    supervisor_api_key: str = setting(
        "BALENA_SUPERVISOR_API_KEY",
        "RESIN_SUPERVISOR_API_KEY",
        kind=matching(r"[\x21-\x7e]+", "a key without spaces"),
        default=NO_KEY,
        original=True,
        secret=True,
        meaning="The key that the Supervisor wants; with na, none is sent.",
    )
    lock_file: Path = setting(
        "ENM_LOCK_FILE_LOCATION",
        kind=PATH,
        default="/tmp/resin/resin-updates.lock",  # noqa: S108 - the Supervisor's own place
        original=True,
        meaning="The update lock: while it is there, the Supervisor does not stop the gateway, nor the gateway start a "
        "transfer under somebody else's.",
    )
