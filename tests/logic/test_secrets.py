"""A board's password, which stands in the config of a device, is told to that board alone."""

from __future__ import annotations

import json

from enmctl.boards.access import shown
from enmctl.cli.views import device_details, device_fields
from enmctl.gateway.api.answers import device_fields as original_fields
from enmctl.gateway.control import DeviceView, Hook
from enmctl.models import Application, Device, DeviceStatus, ListedDevice, Report

PASSWORD = "s3cret-of-the-board"
CONFIG = {"ENM_OTA_USER": "admin", "ENM_OTA_PASSWORD": PASSWORD}
DEVICE = Device("64a1", 511898, "esp8266", "1265892", config=CONFIG, target_config=CONFIG)


def test_a_config_is_in_no_representation() -> None:
    told = [
        DEVICE,
        DeviceView(DEVICE, DeviceStatus.IDLE),
        Application(511898, "lamps", "esp8266", None, CONFIG),
        ListedDevice("64a1", 511898, target_config=CONFIG),
        Report(config=CONFIG),
        Hook(None, CONFIG, None),
    ]
    assert PASSWORD not in repr(told)


def test_neither_the_api_nor_the_command_line_shows_it() -> None:
    view = DeviceView(DEVICE, DeviceStatus.IDLE)
    for fields in (device_fields(DEVICE), device_details(DEVICE), original_fields(view)):
        assert PASSWORD not in json.dumps(fields)
    assert device_details(DEVICE)["config"] == {"ENM_OTA_USER": "admin", "ENM_OTA_PASSWORD": "***"}


def test_a_config_without_a_password_is_shown_as_it_is() -> None:
    assert shown({"A": "1", "ENM_OTA_PASSWORD": ""}) == {"A": "1", "ENM_OTA_PASSWORD": ""}
    assert shown(None) is None
