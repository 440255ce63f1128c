"""A device that failed is tried again once its application has another config, whenever that was changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from enmctl.gateway.news import let_reconfigured_try
from enmctl.models import Application, Device
from enmctl.store import Store


@pytest.mark.parametrize("restarted", [False, True])
def test_another_config_lets_the_failed_devices_of_its_application_try_again(tmp_path: Path, restarted: bool) -> None:
    first, other = Application(7, "lamps", "esp8266", "c"), Application(8, "doors", "esp8266", "c")
    store = Store.open(tmp_path / "enm.db")
    for number in (7, 8):
        device = Device(f"u{number}", number, "esp8266", str(number), target_commit="c")
        store.add_device(device.changed({"failures": 1, "failed_target": "c", "failed_permanently": True}))
    let_reconfigured_try(store, [first, other])
    let_reconfigured_try(store, [first, other])
    assert [device.failures for device in store.devices()] == [1, 1], "the same config is no remedy"
    if restarted:
        store.close()
        store = Store.open(tmp_path / "enm.db")
    with store:
        let_reconfigured_try(store, [Application(7, "lamps", "esp8266", "c", config={"ENM_OTA_USER": "me"}), other])
        assert [device.failures for device in store.devices()] == [0, 1]
