"""Makes faults happen in the model of a link, each once, and writes down at which step of the protocol it hit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from enmctl.dfu.link import GattError, Opened
from enmctl.simulator.nordic.board import NordicBoard, Return
from enmctl.simulator.nordic.contract import Notify
from enmctl.simulator.nordic.faults import (
    OF_NOTIFICATIONS,
    OF_RECEIPTS,
    OF_REPLIES,
    OF_RETURNS,
    OF_THE_FLASH,
    WHEREVER,
    Fault,
    FaultKind,
)
from enmctl.simulator.nordic.link_model import Downstream, Link, Reply, Upstream
from enmctl.simulator.nordic.model import Model
from enmctl.simulator.nordic.steps import Point, Watch
from enmctl.simulator.nordic.uuids import LEGACY_CONTROL, SECURE_CONTROL

THIEF: Final = "C0:FF:EE:00:00:01"
STOLEN_SECONDS: Final = 10.0
STEALING_SECONDS: Final = 30.0
"""How long somebody else holds the board, and how long they try to get hold of it."""

STEAL_EVERY: Final = 0.05
OFF_SECONDS: Final = 1.0
UNLIKELY: Final = 0x0E
"""ATT error "unlikely error"."""

UPON_WRITES: Final = WHEREVER | OF_THE_FLASH | OF_RETURNS
"""What comes upon something that reaches the board."""

LAST_ANSWER: Final = bytes.fromhex("10 03 01")
LEGACY_RECEIPT, LEGACY_ANSWER, SECURE_ANSWER, CRC = 0x11, 0x10, 0x60, 0x03


@dataclass(frozen=True, slots=True)
class Hit:
    """A fault that came, at which step and when."""

    fault: Fault
    point: Point
    at: float


class Interfering:
    """Faults for one model of a link; they stay for all transfers that it runs.

    Args:
        model: it must run a ``NordicBoard``.
        faults: what goes wrong.
    """

    def __init__(self, model: Model, faults: Sequence[Fault]) -> None:
        board = model.air.board
        if not isinstance(board, NordicBoard):
            raise TypeError("faults need a simulated board")
        self.hits: list[Hit] = []
        self._model = model
        self._board = board
        self._watch = Watch(board)
        self._left = [_Pending(fault) for fault in faults]
        self._after: list[tuple[Fault, Point]] = []
        self._notifications = 0
        self._held_until = 0.0
        self._tables: dict[str, Opened] = {}
        model.interference = self
        model.change_opened = self._opened

    @property
    def seen(self) -> frozenset[Point]:
        """The steps that were reached so far, whether a fault came there or not."""
        return frozenset(self._watch.seen)

    def forget_seen(self) -> None:
        """Begin anew to note which steps are reached."""
        self._watch.seen.clear()

    def passes(self, link: Link, sent: Downstream, now: float) -> bool:
        """Something is about to reach the board; whether it still does."""
        self._watch.see(sent)
        lost = False
        for fault in self._due(UPON_WRITES):
            if fault.kind in WHEREVER and not fault.before:
                self._after.append((fault, self._watch.point))
            else:
                lost = lost or fault.before
                self._strike(fault, now, link, self._watch.point)
        return not lost

    def passed(self, link: Link, sent: Downstream, now: float) -> None:
        """Something has reached the board, and may have made it end the connection by now."""
        del sent
        while self._after:
            fault, point = self._after.pop()
            self._strike(fault, now, link, point)

    def ended(self, link: Link, now: float) -> None:
        """The board has ended the connection."""
        self._watch.ended()
        for fault in self._due(WHEREVER):
            self._strike(fault, now, link, Point.RETURN)

    def on_the_way(self, link: Link, item: Notify | Reply, now: float) -> Sequence[tuple[float, Upstream]]:
        """What of something that the board sent goes on, and how much later; nothing overtakes what is late."""
        del link
        items: list[Upstream] = [item]
        if isinstance(item, Reply):
            for fault in self._hits(OF_REPLIES, now):
                items = [] if fault.kind is FaultKind.REPLY_LOST else [Reply(error=GattError(UNLIKELY))]
        else:
            items = list(self._notified(item, now))
        delay = max(0.0, self._held_until - now)
        return [(delay, each) for each in items]

    def _opened(self, opened: Opened) -> Opened:
        """Show the table that was there in another mode before, if that is what goes wrong now."""
        mode, now = self._board.mode, self._model.now()
        self._watch.connected()
        before = [table for other, table in self._tables.items() if other != mode]
        self._tables[mode] = opened
        if before and self._hits(frozenset({FaultKind.STALE_SERVICES}), now):
            return replace(opened, characteristics=before[-1].characteristics, services=before[-1].services)
        return opened

    def _notified(self, item: Notify, now: float) -> Sequence[Notify]:
        """What becomes of a notification."""
        self._notifications += 1
        kinds = OF_NOTIFICATIONS
        if self._is_receipt(item):
            kinds |= OF_RECEIPTS
        elif item.data == LAST_ANSWER:
            kinds |= {FaultKind.LAST_WITH_RECEIPT}
        items = [item]
        for fault in self._hits(kinds, now):
            items = self._changed(fault, items, now) if items else []
        return items

    def _is_receipt(self, item: Notify) -> bool:
        if item.characteristic == LEGACY_CONTROL:
            return item.data[0] == LEGACY_RECEIPT
        unasked = self._watch.point in (Point.DATA, Point.INIT)
        return item.characteristic == SECURE_CONTROL and item.data[1] == CRC and unasked

    def _changed(self, fault: Fault, items: list[Notify], now: float) -> list[Notify]:
        item = items[-1]
        match fault.kind:
            case FaultKind.NOTIFICATION_LOST | FaultKind.RECEIPT_LOST:
                return []
            case FaultKind.NOTIFICATION_LATE | FaultKind.RECEIPT_LATE:
                self._held_until = now + fault.seconds
            case FaultKind.NOTIFICATION_CUT:
                items = [replace(item, data=item.data[:2])]
            case FaultKind.RECEIPT_SMALLER:
                items = [replace(item, data=_smaller(item.data, fault.amount))]
            case FaultKind.ANOTHER_ANSWER:
                items = [replace(item, data=_another(item.data)), item]
            case FaultKind.LAST_WITH_RECEIPT:
                total = self._watch.received
                items = [replace(item, data=bytes([LEGACY_RECEIPT]) + total.to_bytes(4, "little")), item]
            case _:
                items = [item, item]
        return items

    def _strike(self, fault: Fault, now: float, link: Link, point: Point) -> None:
        """Make it happen, now or a little later."""
        if fault.kind is FaultKind.FLASH_BUSY:
            self._board.machine.flash.stall(fault.seconds, now)
        elif fault.seconds and fault.kind in WHEREVER:
            self._model.clock.at(now + fault.seconds, lambda: self._strike_later(fault))
            return
        elif fault.kind in WHEREVER:
            self._strike_now(fault, link)
        elif fault.kind is FaultKind.FLASH_FAILURE:
            self._board.machine.flash.fail()
        else:
            self._board.come_back(_return(fault))
        self.hits.append(Hit(fault, point, now))

    def _strike_later(self, fault: Fault) -> None:
        """What was put off comes, if there still is what it is to hit."""
        model, link = self._model, self._model.air.link
        if model.ended or (link is None and fault.kind is FaultKind.LINK_LOST):
            return
        self.hits.append(Hit(fault, self._watch.point, model.air.time()))
        self._strike_now(fault, link)

    def _strike_now(self, fault: Fault, link: Link | None) -> None:
        if fault.kind is FaultKind.POWER_CUT:
            self._cut_power()
        elif fault.kind is FaultKind.HOST_KILLED:
            self._model.kill()
        elif link is not None:
            link.lose(0.0 if fault.kind is FaultKind.STOLEN else None)
        if fault.kind is FaultKind.STOLEN:
            self._steal(self._model.air.time() + STEALING_SECONDS)

    def _cut_power(self) -> None:
        air = self._model.air
        air.power(on=False)
        air.clock.at(air.time() + OFF_SECONDS, lambda: air.power(on=True))

    def _steal(self, until: float) -> None:
        """Be somebody else who connects, as soon as the board lets anybody in."""
        air = self._model.air
        said = self._board.advertisement
        if said is not None and not said.directed_to and not said.bonded_only:
            air.take(self._board.connected(THIEF, air.time()))
            air.clock.at(air.time() + STOLEN_SECONDS, self._give_back)
        elif air.clock.now < until:
            air.clock.at(air.clock.now + STEAL_EVERY, lambda: self._steal(until))

    def _give_back(self) -> None:
        air = self._model.air
        if self._board.machine.peer == THIEF:
            air.take(self._board.disconnected(air.time()))

    def _due(self, kinds: frozenset[FaultKind]) -> list[Fault]:
        """The faults that come now; they come no more."""
        if not self._left:
            return []
        due = [pending for pending in self._left if pending.fault.kind in kinds and self._comes(pending)]
        for pending in due:
            self._left.remove(pending)
        return [pending.fault for pending in due]

    def _hits(self, kinds: frozenset[FaultKind], now: float) -> list[Fault]:
        """The faults that come now and do so in any case, written down."""
        due = self._due(kinds)
        self.hits += [Hit(fault, self._watch.point, now) for fault in due]
        return due

    def _comes(self, pending: _Pending) -> bool:
        fault = pending.fault
        if fault.byte is not None:
            return self._watch.bytes >= fault.byte
        if fault.notification is not None:
            return self._notifications >= fault.notification
        if fault.at is self._watch.point:
            pending.seen += 1
        return pending.seen >= fault.count and fault.at is self._watch.point


@dataclass(slots=True, eq=False)
class _Pending:
    """A fault that has not come yet, and how many of its things were seen."""

    fault: Fault
    seen: int = 0


def _return(fault: Fault) -> Return:
    returns = {
        FaultKind.NEXT_ADDRESS: Return(address_step=1),
        FaultKind.RENAMED: Return(name="Dfu00042"),
        FaultKind.LATE_RETURN: Return(seconds=fault.seconds),
        FaultKind.NO_RETURN: Return(never=True),
    }
    return returns[fault.kind]


def _smaller(data: bytes, amount: int) -> bytes:
    """A receipt that tells so many bytes less."""
    at = 1 if data[0] == LEGACY_RECEIPT else 3
    told = int.from_bytes(data[at : at + 4], "little")
    return data[:at] + max(0, told - amount).to_bytes(4, "little") + data[at + 4 :]


def _another(data: bytes) -> bytes:
    """An answer of the same kind to another operation."""
    if data[0] == LEGACY_ANSWER:
        return bytes((LEGACY_ANSWER, data[1] % 8 + 1, 1))
    if data[0] == SECURE_ANSWER:
        return bytes((SECURE_ANSWER, 2 if data[1] != 2 else 4, 1))  # noqa: PLR2004 - receipts, or else execute
    return b"\xee\x01\x01"
