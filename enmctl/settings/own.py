"""The variables that edge-node-manager did not have."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from enmctl.settings.kinds import (
    FLAG,
    HOST,
    PATH,
    count,
    matching,
    one_of,
    seconds,
    setting,
)


@dataclass(frozen=True, kw_only=True)
class OwnSettings:
    """The project's own."""

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
