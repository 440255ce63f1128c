"""The words themselves."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from enmctl.models import Device

DEVICE = Device("a" * 32, 511898, "esp8266", "1265892", "lamp", config={"a": "b"})


@pytest.mark.parametrize("name", [each.name for each in fields(Device)])
def test_a_device_with_another_value_is_what_the_standard_library_makes_of_it(name: str) -> None:
    changes: dict[str, Any] = {name: "other"}
    assert DEVICE.changed(changes) == replace(DEVICE, **changes)


def test_a_device_has_no_values_but_its_own() -> None:
    with pytest.raises(KeyError):
        DEVICE.changed({"colour": "red"})
