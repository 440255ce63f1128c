"""The ESP8266 over Wi-Fi: a board with a web server, and images that can be checked whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from enmctl.boards.access import Access
from enmctl.boards.contract import Firmware
from enmctl.boards.esp8266_file import read_firmware
from enmctl.boards.http_board import HttpBoard
from enmctl.firmware.esp8266 import built_for_flash, embedded_version


class Esp8266(HttpBoard):
    """Keeps the contract of ``BoardDriver`` for boards with an ESP8266."""

    board_type: ClassVar[str] = "esp8266"

    def read_firmware(self, path: Path, config: Mapping[str, str]) -> Firmware:
        """Read and verify a ``.bin`` file, or the ``firmware.bin`` of an unpacked asset."""
        return read_firmware(path, self.board_type, most=Access.of(config).max_size)

    def version_in(self, data: bytes) -> str | None:
        """The version that the build has put into the image."""
        return embedded_version(data)

    def flash_needed(self, data: bytes) -> int | None:
        """What the image's header says."""
        return built_for_flash(data)
