"""Why a device waits about which a pass does nothing, although it is not as it is to be: pure like ``decide``."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from enmctl.gateway.decide import Seen, is_behind, may_try
from enmctl.models import BoardKey, Device, DiscoveredBoard, short
from enmctl.policy import wall_clock


@dataclass(frozen=True, slots=True)
class Around:
    """What is known of the boards when a plan is made.

    ``in_hand`` tells of each board that a worker has how far it is, "" where that is not known. ``settled`` is false
    while the radios have not listened for long enough to call a board offline that nobody heard. ``now`` is in seconds
    since the epoch.
    """

    seen: Mapping[BoardKey, Seen]
    now: float
    in_hand: Mapping[BoardKey, str] = field(default_factory=dict)
    settled: bool = True
    paused: bool = False


def waiting(
    devices: Sequence[Device], changed: Mapping[str, Mapping[str, Any]], handled: Collection[str], around: Around
) -> Iterator[tuple[Device, str]]:
    """The devices that are not as they are to be, each with what it waits for; those ``handled`` are left out."""
    for device in devices:
        if device.uuid in handled or device.deleted or (key := device.key) is None:
            continue
        current = device.changed(changed[device.uuid]) if device.uuid in changed else device
        here = around.seen.get(key)
        if is_behind(current, None if here is None else here.board):
            yield current, _reason(current, key, here, around)


def becoming_devices(devices: Sequence[Device], around: Around) -> Iterator[tuple[BoardKey, DiscoveredBoard, str]]:
    """The boards in hand that are no devices yet, each with how far it is."""
    if around.in_hand:
        known = {device.key for device in devices}
        for key in around.in_hand.keys() - known:
            if key in around.seen:
                yield key, around.seen[key].board, _in_hand(around.in_hand[key])


def _reason(device: Device, key: BoardKey, here: Seen | None, around: Around) -> str:
    if key in around.in_hand:
        return _in_hand(around.in_hand[key])
    if around.paused:
        return "the gateway is paused"
    is_tried_later = not device.restart_wanted and not may_try(device, around.now)
    if is_tried_later and device.failed_permanently:
        return f"it waits for another target: it refuses {short(device.failed_target)}"
    if here is None or not here.online:
        return "it is offline: not heard" if around.settled else "it is not heard yet"
    if not here.rivals and is_tried_later:
        tries = "1 failed try" if device.failures == 1 else f"{device.failures} failed tries"
        return f"it waits until {wall_clock(device.retry_at or 0.0, None):%H:%M:%S}, after {tries}"
    return _shared(here.rivals) if here.rivals else "the next pass looks at it"


def _shared(rivals: Sequence[str]) -> str:
    return f"more than one board answers to its id (also at {', '.join(rivals)})"


def _in_hand(how_far: str) -> str:
    return f"it is in hand: {how_far}" if how_far else "it is in hand"
