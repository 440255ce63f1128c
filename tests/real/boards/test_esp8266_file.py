from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from enmctl.boards.esp8266 import Esp8266
from enmctl.errors import FirmwareError, SettingError
from enmctl.simulator.images import esp8266_image

IMAGE = esp8266_image(fw="1.2.3", size=16_384)


def reason(driver: Esp8266, path: Path, **config: str) -> str:
    with pytest.raises(FirmwareError) as caught:
        driver.read_firmware(path, config)
    assert caught.value.remedy
    return caught.value.reason


def test_a_file_and_the_folder_of_an_asset_are_read(driver: Esp8266, tmp_path: Path) -> None:
    (tmp_path / "firmware.bin").write_bytes(IMAGE)
    by_file = driver.read_firmware(tmp_path / "firmware.bin", {})
    assert by_file == driver.read_firmware(tmp_path, {})
    assert by_file.data == IMAGE
    assert by_file.sha256 == hashlib.sha256(IMAGE).hexdigest()
    assert by_file.board_type == "esp8266"
    assert by_file.commit is None
    assert "1.2.3" in by_file.describe
    assert "large" not in by_file.describe


def test_an_image_of_more_than_500_kb_is_said_to_be_large(driver: Esp8266, tmp_path: Path) -> None:
    (tmp_path / "firmware.bin").write_bytes(esp8266_image(fw=None, size=512_000))
    assert "large" in driver.read_firmware(tmp_path, {}).describe


def test_a_folder_without_firmware_says_what_is_in_it(driver: Esp8266, tmp_path: Path) -> None:
    (tmp_path / "application.zip").write_bytes(b"PK")
    with pytest.raises(FirmwareError, match=r"application\.zip") as caught:
        driver.read_firmware(tmp_path, {})
    assert caught.value.reason == "no-firmware"


def test_a_file_that_cannot_be_read_is_an_error_with_a_reason(driver: Esp8266, tmp_path: Path) -> None:
    assert reason(driver, tmp_path / "none.bin") == "no-file"
    (tmp_path / "firmware.bin").mkdir()
    assert reason(driver, tmp_path) == "no-file"


def test_a_bad_image_is_refused_with_the_name_of_the_file(driver: Esp8266, tmp_path: Path) -> None:
    (tmp_path / "firmware.elf").write_bytes(b"\x7fELF" + bytes(9000))
    with pytest.raises(FirmwareError, match=r"firmware\.elf cannot be sent") as caught:
        driver.read_firmware(tmp_path / "firmware.elf", {})
    assert caught.value.reason == "elf"
    (tmp_path / "firmware.bin").write_bytes(IMAGE[:-1])
    assert reason(driver, tmp_path) == "truncated"


def test_a_place_that_cannot_be_looked_at_is_told_as_such(driver: Esp8266, tmp_path: Path) -> None:
    assert reason(driver, tmp_path / ("x" * 300)) == "unreadable"


def test_the_largest_image_comes_from_config(driver: Esp8266, tmp_path: Path) -> None:
    (tmp_path / "firmware.bin").write_bytes(IMAGE)
    assert driver.read_firmware(tmp_path, {"ENM_OTA_MAX_SIZE": "16384"}).size == 16_384
    with pytest.raises(FirmwareError) as caught:
        driver.read_firmware(tmp_path, {"ENM_OTA_MAX_SIZE": "16383"})
    assert (caught.value.reason, caught.value.permanent) == ("too-big", False)
    with pytest.raises(SettingError):
        driver.read_firmware(tmp_path, {"ENM_OTA_MAX_SIZE": "many"})


def test_no_more_of_a_huge_file_is_read_than_tells_that_it_is_huge(driver: Esp8266, tmp_path: Path) -> None:
    with (tmp_path / "huge.bin").open("wb") as file:
        file.truncate(1 << 40)
    assert reason(driver, tmp_path / "huge.bin") == "too-big"
