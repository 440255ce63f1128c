"""How boards are named to a person who has to choose one."""

from __future__ import annotations

from enmctl.gateway.naming import call_names
from enmctl.models import DiscoveredBoard, Radio


def board(name: str, local_id: str) -> DiscoveredBoard:
    return DiscoveredBoard("microbit", None, local_id, Radio.BLUETOOTH, name, (local_id,))


def test_a_board_is_named_by_what_its_leds_show_where_no_other_is_called_so() -> None:
    boards = [
        board("BBC micro:bit [zavit]", "E5:1D:00:00:00:01"),
        board("BBC micro:bit [4711]", "E5:1D:00:00:00:02"),
        board("BBC micro:bit [gatiz]", "E5:1D:00:00:00:03"),
        board("BBC micro:bit [gatiz]", "E5:1D:00:00:00:04"),
        board("ESP8266_7_1265892", "1265892"),
    ]
    assert call_names(boards) == ["zavit", "E5:1D:00:00:00:02", "E5:1D:00:00:00:03", "E5:1D:00:00:00:04", "1265892"]
