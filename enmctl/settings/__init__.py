"""Every environment variable, once: name, kind, unit, default and meaning.

The fields of ``Settings`` are the table. The parser below, ``enmctl run --help`` and ``docs/configuration.md`` are made
from it, and nothing else reads the environment.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from enmctl.errors import SettingError
from enmctl.settings.kinds import (
    FILE_NAME,
    FLAG,
    HOST,
    HTTP_ADDRESS,
    LOG_LEVEL,
    PATH,
    Variable,
    checked_later,
    count,
    matching,
    one_of,
    seconds,
    setting,
)

__all__ = ["DEFAULT_HOTSPOT", "FLEET", "NO_KEY", "Settings", "Variable", "data_directory", "variables"]

NO_KEY = "na"
"""The original's way to say that there is no API key."""


DEFAULT_HOTSPOT = "resin-hotspot"
"""The original's name of its hotspot, and its password, which everybody knows."""

FLEET = "fleet"
"""The source that reads a fleet file."""


def _data_folder(name: str) -> Callable[[], Path]:
    return lambda: data_directory() / name


def data_directory() -> Path:
    """The folder that everything lasting lives under: ``/data`` where that is writable, else the user's own.

    In a container ``/data`` is the volume; on a laptop platformdirs knows the place.
    """
    volume = Path("/data")
    if volume.is_dir() and os.access(volume, os.W_OK):
        return volume
    from platformdirs import user_data_path

    return user_data_path("enmctl", appauthor=False)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the environment says, each value checked and in its own type."""

    # The original's nineteen, with its names and defaults.
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
        factory=_data_folder("assets"),
        meaning="Where firmware is kept. Without a writable /data: assets in the user's data folder.",
    )
    db_directory: Path = setting(
        "ENM_DB_DIRECTORY",
        kind=PATH,
        default="/data/database",
        original=True,
        factory=_data_folder("database"),
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

    # The project's own.
    hotspot: str = setting(
        "ENM_HOTSPOT",
        kind=one_of("auto", "on", "off"),
        default="auto",
        meaning="Whether a gateway with an ESP8266 application raises its own Wi-Fi network. Auto: where there is "
        "NetworkManager with an interface for it. On: likewise, and its lack is a fault. Off: boards are looked for on "
        "the networks that are there.",
    )
    hotspot_interface: str = setting(
        "ENM_HOTSPOT_INTERFACE",
        kind=matching(r"[^\s/]{1,15}", "an interface like wlan0"),
        default="",
        factory=str,
        meaning="The Wi-Fi interface for the hotspot; unset: a free one, or else one that is not the only way out.",
    )
    hotspot_keep: bool = setting(
        "ENM_HOTSPOT_KEEP",
        kind=FLAG,
        default="off",
        meaning="On: the hotspot stays when the gateway pauses or ends, and comes back with the machine.",
    )
    system_bus_address: str = setting(
        "DBUS_SYSTEM_BUS_ADDRESS",
        kind=matching(r"[!-~]+", "a D-Bus address like unix:path=/host/run/dbus/system_bus_socket"),
        default="",
        factory=str,
        meaning="Where the system's D-Bus is; unset: the host's under /host/run/dbus where that is mounted, else the "
        "machine's own.",
    )
    device_type: str = setting(
        "BALENA_DEVICE_TYPE",
        "RESIN_DEVICE_TYPE",
        kind=matching(r"[A-Za-z0-9._-]{1,64}", "a device type like raspberrypi3"),
        default="",
        factory=str,
        meaning="The machine's type, as balena calls it. On a raspberrypi3 whose Bluetooth is no adapter yet, it is "
        "attached.",
    )
    balena_lock_file: Path = setting(
        "BALENA_APP_LOCK_PATH",
        "RESIN_APP_LOCK_PATH",
        kind=PATH,
        default="/tmp/balena/updates.lock",  # noqa: S108 - the Supervisor's own place
        meaning="The update lock's newer name; used as well where its folder exists.",
    )
    source: str = setting(
        "ENM_SOURCE",
        kind=matching(r"[a-z0-9_-]+", "the name of an installed source, like supervisor"),
        default="supervisor",
        meaning="Where desired state comes from; with ENM_FLEET_FILE, fleet unless it is set.",
    )
    fleet_file: Path | None = setting(
        "ENM_FLEET_FILE",
        kind=PATH,
        default="",
        factory=lambda: None,
        meaning="The fleet file, which says what should run where there is no Supervisor.",
    )
    api_host: str = setting(
        "ENM_API_HOST",
        kind=HOST,
        default="127.0.0.1",
        meaning="The address on which the HTTP API listens; any but loopback wants ENM_API_TOKEN.",
    )
    api_port: int = setting(
        "ENM_API_PORT", kind=count(0, 65_535), default="1337", meaning="The HTTP API's port; 0 takes a free one."
    )
    api_token: str = setting(
        "ENM_API_TOKEN",
        kind=matching(r"[\x21-\x7e]{8,}", "at least 8 characters without spaces"),
        default="",
        factory=str,
        secret=True,
        meaning="The token that callers of the HTTP API must show, as Bearer or as a Basic password.",
    )
    api_without_token: bool = setting(
        "ENM_API_WITHOUT_TOKEN",
        kind=FLAG,
        default="off",
        meaning="On: the HTTP API is open to everybody who reaches ENM_API_HOST.",
    )
    supervisor_timeout: float = setting(
        "ENM_SUPERVISOR_TIMEOUT",
        kind=seconds(0.05, 3600),
        default="60",
        unit="s",
        meaning="The limit of one request to the Supervisor; it asks the cloud before it answers some.",
    )
    provision_settle: float = setting(
        "ENM_PROVISION_SETTLE",
        kind=seconds(),
        default="15",
        unit="s",
        meaning="How long a provisioning whose answer got lost is looked for in the Supervisor's list before another "
        "device is asked for.",
    )
    report_interval: float = setting(
        "ENM_REPORT_INTERVAL",
        kind=seconds(0.1),
        default="300",
        unit="s",
        meaning="The time between two full reports of a device; changes are reported at once.",
    )
    wifi_concurrency: int = setting(
        "ENM_WIFI_CONCURRENCY",
        kind=count(1, 64),
        default="4",
        meaning="How many transfers run at once over Wi-Fi.",
    )
    bluetooth_adapter: str = setting(
        "ENM_BLUETOOTH_ADAPTER",
        kind=matching(
            r"hci[0-9]{1,3}|simulated:127\.0\.0\.1:[0-9]{1,5}", "an adapter like hci0, or simulated:127.0.0.1:PORT"
        ),
        default="",
        factory=str,
        meaning="The Bluetooth adapter; unset: the first that is switched on (Linux), or the machine's own.",
    )
    bluetooth_concurrency: int = setting(
        "ENM_BLUETOOTH_CONCURRENCY",
        kind=count(1, 16),
        default="2",
        meaning="How many transfers run at once over Bluetooth.",
    )
    bluetooth_scan_while_connected: bool = setting(
        "ENM_BLUETOOTH_SCAN_WHILE_CONNECTED",
        kind=FLAG,
        default="on",
        meaning="Off: while a Bluetooth board is connected no others are looked for, and its transfer has the air to "
        "itself.",
    )
    bluetooth_power_cycle_after: int = setting(
        "ENM_BLUETOOTH_POWER_CYCLE_AFTER",
        kind=count(0, 1000),
        default="5",
        meaning="After so many failed Bluetooth connections in a row the adapter is switched off and on (Linux); "
        "0: never.",
    )
    bluetooth_gone_after: float = setting(
        "ENM_BLUETOOTH_GONE_AFTER",
        kind=seconds(0.1),
        default="30",
        unit="s",
        meaning="A Bluetooth board that is not heard for so long counts as offline.",
    )
    download_concurrency: int = setting(
        "ENM_DOWNLOAD_CONCURRENCY",
        kind=count(1, 64),
        default="2",
        meaning="How many firmware assets are fetched at once.",
    )
    update_timeout: float = setting(
        "ENM_UPDATE_TIMEOUT",
        kind=seconds(1),
        default="1800",
        unit="s",
        meaning="The limit of one attempt at an update, from its first byte to the board's return.",
    )
    connect_timeout: float = setting(
        "ENM_CONNECT_TIMEOUT",
        kind=seconds(0.05),
        default="5",
        unit="s",
        meaning="The limit of one connection to a board over Wi-Fi.",
    )
    answer_timeout: float = setting(
        "ENM_ANSWER_TIMEOUT",
        kind=seconds(0.05),
        default="120",
        unit="s",
        meaning="The limit of the wait for a board's answer once all of an image was sent.",
    )
    stall_timeout: float = setting(
        "ENM_STALL_TIMEOUT",
        kind=seconds(0.05),
        default="30",
        unit="s",
        meaning="A transfer that moves no byte for so long is given up.",
    )
    return_timeout: float = setting(
        "ENM_RETURN_TIMEOUT",
        kind=seconds(0.05),
        default="60",
        unit="s",
        meaning="The limit of the wait for a board to come back after a restart.",
    )
    return_grace: float = setting(
        "ENM_RETURN_GRACE",
        kind=seconds(0.05),
        default="15",
        unit="s",
        meaning="A board that tells no version and was never seen to go down counts as back after so long.",
    )
    return_probe_interval: float = setting(
        "ENM_RETURN_PROBE_INTERVAL",
        kind=seconds(0.01),
        default="0.25",
        unit="s",
        meaning="The time between two looks whether a restarting board is back.",
    )
    probe_interval: float = setting(
        "ENM_PROBE_INTERVAL",
        kind=seconds(0.05),
        default="5",
        unit="s",
        meaning="The time between two looks whether a board is still there; two misses and it is offline.",
    )
    probe_timeout: float = setting(
        "ENM_PROBE_TIMEOUT",
        kind=seconds(0.05),
        default="3",
        unit="s",
        meaning="The limit of one such look, and of an ordinary question to a board.",
    )
    retry_delay: float = setting(
        "ENM_RETRY_DELAY",
        kind=seconds(0.01),
        default="10",
        unit="s",
        meaning="The wait after a device's first failure; it doubles with each further one.",
    )
    retry_delay_most: float = setting(
        "ENM_RETRY_DELAY_MOST",
        kind=seconds(0.01),
        default="900",
        unit="s",
        meaning="The longest wait between two attempts at one device.",
    )
    stop_timeout: float = setting(
        "ENM_STOP_TIMEOUT",
        kind=seconds(0.1, 600),
        default="5",
        unit="s",
        meaning="How long a stopping gateway lets transfers run on before it ends them at a safe point.",
    )
    asset_max_size: int = setting(
        "ENM_ASSET_MAX_SIZE",
        kind=count(1024, 1 << 30),
        default="33554432",
        unit="bytes",
        meaning="The largest firmware asset that is fetched, and the most that may come out of it.",
    )
    history_limit: int = setting(
        "ENM_HISTORY_LIMIT",
        kind=count(10, 1_000_000),
        default="10000",
        meaning="How many attempts, and how many lines of device logs, the database keeps.",
    )
    log_format: str = setting(
        "ENM_LOG_FORMAT", kind=one_of("text", "json"), default="text", meaning="The form of the gateway's log lines."
    )
    mdns_interfaces: str = setting(
        "ENM_MDNS_INTERFACES",
        kind=matching(r"[0-9A-Fa-f:.%\w, -]+", "addresses with commas between, or all"),
        default="all",
        meaning="The addresses of the interfaces on which boards are looked for over mDNS.",
    )

    @property
    def database(self) -> Path:
        """The database's path."""
        return self.db_directory / self.db_file

    @property
    def api_key(self) -> str | None:
        """The Supervisor's key, or None where none is to be sent."""
        return None if self.supervisor_api_key == NO_KEY else self.supervisor_api_key

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read the settings from ``environment``, by default the process's own.

        Raises:
            SettingError: a value is of the wrong kind; it names the variable, the value and what is allowed.
        """
        environment = os.environ if environment is None else environment
        values = {}
        for name, variable in variables().items():
            spelling = next((spelling for spelling in variable.names if environment.get(spelling)), None)
            if spelling is not None:
                values[name] = _parse(variable, spelling, environment[spelling])
        if values.get("fleet_file") is not None:
            values.setdefault("source", FLEET)
        return cls(**values)


def _parse(variable: Variable, spelling: str, text: str) -> Any:
    try:
        return variable.kind.parse(text)
    except ValueError:
        shown = "a value that is not shown" if variable.secret else repr(text)
        default = f"unset it for {variable.default!r}" if variable.default else "or unset it"
        raise SettingError(f"{spelling} is {shown}", remedy=f"it must be {variable.kind.allowed}; {default}") from None


def variables() -> dict[str, Variable]:
    """The table: each setting's field name with the variable that sets it."""
    return {entry.name: entry.metadata["variable"] for entry in fields(Settings)}
