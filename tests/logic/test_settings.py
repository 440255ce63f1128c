"""Every environment variable: another value shows in its field and in no other."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from enmctl.settings import Settings, Variable, variables
from enmctl.settings.misspelt import misspelt

OTHER: dict[str, tuple[str, object]] = {
    "log_level": ("Debug", "debug"),
    "dependent_log_level": ("PANIC", "panic"),
    "supervisor_check_delay": ("2.5", 2.5),
    "hotspot_delete_delay": ("0", 0.0),
    "loop_delay": ("20", 20.0),
    "pause_delay": ("0", 0.0),
    "hotspot_ssid": ("Küche", "Küche"),
    "hotspot_password": ("a long password", "a long password"),
    "hotspot": ("OFF", "off"),
    "hotspot_interface": ("wlan1", "wlan1"),
    "hotspot_keep": ("on", True),
    "system_bus_address": ("unix:path=/host/bus", "unix:path=/host/bus"),
    "bluetooth_short_timeout": ("2", 2.0),
    "bluetooth_long_timeout": ("20", 20.0),
    "avahi_timeout": ("3", 3.0),
    "update_retries": ("3", 3),
    "assets_directory": ("/srv/assets", Path("/srv/assets")),
    "db_directory": ("/srv/database", Path("/srv/database")),
    "db_file": ("other.db", "other.db"),
    "api_version": ("v2", "v2"),
    "supervisor_address": ("http://10.0.0.1:48484", "http://10.0.0.1:48484"),
    "supervisor_api_key": ("0123456789", "0123456789"),
    "lock_file": ("/run/lock", Path("/run/lock")),
    "balena_lock_file": ("/run/other", Path("/run/other")),
    "source": ("folder", "folder"),
    "fleet_file": ("/srv/fleet.toml", Path("/srv/fleet.toml")),
    "api_host": ("0.0.0.0", "0.0.0.0"),  # noqa: S104 - read, not listened on
    "api_port": ("0", 0),
    "api_token": ("0123456789", "0123456789"),
    "api_without_token": ("Yes", True),
    "supervisor_timeout": ("5", 5.0),
    "provision_settle": ("1", 1.0),
    "report_interval": ("60", 60.0),
    "wifi_concurrency": ("8", 8),
    "device_type": ("raspberrypi3-64", "raspberrypi3-64"),
    "bluetooth_adapter": ("simulated:127.0.0.1:40001", "simulated:127.0.0.1:40001"),
    "bluetooth_concurrency": ("3", 3),
    "bluetooth_scan_while_connected": ("off", False),
    "bluetooth_power_cycle_after": ("0", 0),
    "bluetooth_gone_after": ("2.5", 2.5),
    "download_concurrency": ("3", 3),
    "update_timeout": ("60", 60.0),
    "connect_timeout": ("1", 1.0),
    "answer_timeout": ("30", 30.0),
    "stall_timeout": ("10", 10.0),
    "return_timeout": ("30", 30.0),
    "return_grace": ("5", 5.0),
    "return_probe_interval": ("0.5", 0.5),
    "probe_interval": ("1", 1.0),
    "probe_timeout": ("1", 1.0),
    "retry_delay": ("1", 1.0),
    "retry_delay_most": ("60", 60.0),
    "stop_timeout": ("2", 2.0),
    "asset_max_size": ("1048576", 1_048_576),
    "history_limit": ("100", 100),
    "log_format": ("JSON", "json"),
    "mdns_interfaces": ("10.42.0.1, fe80::1%2", "10.42.0.1, fe80::1%2"),
}
"""For each field another text than its default, and what it is read as."""

NOTHING: dict[str, str] = {}

each = pytest.mark.parametrize(("name", "variable"), variables().items(), ids=list(variables()))


def test_every_field_has_another_value_here() -> None:
    assert set(OTHER) == {field.name for field in fields(Settings)}


@each
def test_a_variable_sets_its_field_and_no_other(name: str, variable: Variable) -> None:
    before = Settings.from_environment(NOTHING)
    text, value = OTHER[name]
    for spelling in variable.names:
        settings = Settings.from_environment({spelling: text})
        assert getattr(settings, name) == value
        assert getattr(before, name) != value
        follows = {"source"} if name == "fleet_file" else set()
        others = [field.name for field in fields(Settings) if field.name not in {name, *follows}]
        assert [getattr(settings, other) for other in others] == [getattr(before, other) for other in others]


def test_a_fleet_file_is_the_source_unless_another_is_named() -> None:
    assert Settings.from_environment({"ENM_FLEET_FILE": "fleet.toml"}).source == "fleet"
    assert (
        Settings.from_environment({"ENM_FLEET_FILE": "fleet.toml", "ENM_SOURCE": "supervisor"}).source == "supervisor"
    )
    assert Settings.from_environment({"ENM_FLEET_FILE": ""}).source == "supervisor"


@each
def test_a_variable_that_is_set_to_nothing_counts_as_unset(name: str, variable: Variable) -> None:
    before = Settings.from_environment(NOTHING)
    settings = Settings.from_environment(dict.fromkeys(variable.names, ""))
    assert getattr(settings, name) == getattr(before, name)


@each
def test_the_documented_default_is_the_one_that_counts(name: str, variable: Variable) -> None:
    if not variable.default or name in {"assets_directory", "db_directory"}:
        return  # the two directories depend on the machine, and no token has no spelling
    assert getattr(Settings.from_environment({variable.name: variable.default}), name) == getattr(
        Settings.from_environment(NOTHING), name
    )


@pytest.mark.parametrize("word", ["SUPERVISOR_ADDRESS", "SUPERVISOR_API_KEY"])
def test_the_balena_spelling_comes_first(word: str) -> None:
    first, second = ("http://a:1", "http://b:2") if word.endswith("ADDRESS") else ("first", "second")
    settings = Settings.from_environment({f"BALENA_{word}": first, f"RESIN_{word}": second})
    assert first in (settings.supervisor_address, settings.api_key)


def test_no_secret_is_in_what_settings_say_of_themselves() -> None:
    secret = {name for name, variable in variables().items() if variable.secret}
    environment = {variables()[name].name: "a-secret-word" for name in secret}
    assert secret >= {"supervisor_api_key", "api_token", "hotspot_password"}
    assert "a-secret-word" not in repr(Settings.from_environment(environment))


def test_a_name_that_is_nearly_one_of_ours_is_found_and_what_is_meant_is_guessed() -> None:
    environment = dict.fromkeys(["ENM_CONFIG_LOOP_DEALY", "ENM_QQ", "ENM_OTA_USER", "ENM_API_PORT", "HOME"], "1")
    assert misspelt(environment) == {"ENM_CONFIG_LOOP_DEALY": "ENM_CONFIG_LOOP_DELAY", "ENM_QQ": None}
