"""Boards that say just what a test wants, on a clock of their own, and write down all that they are asked."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from enmctl.dfu.link import (
    Heard,
    Keep,
    LinkError,
    LinkLostError,
    Lost,
    Memory,
    Notification,
    Open,
    Opened,
    Operation,
    Read,
    Request,
    Subscribe,
    Tell,
    Transfer,
    Wait,
    Write,
)
from enmctl.firmware.nordic import Protocol, Sizes
from enmctl.firmware.nordic_manifest import Role
from enmctl.firmware.payload import Payload
from enmctl.firmware.targets import Target
from enmctl.models import BoardMode

T = TypeVar("T")
Answer = bytes | LinkError | None
IMAGE = bytes(range(256)) * 4


def payload(
    data: bytes = IMAGE,
    *,
    init: bytes | None = b"\xff" * 14,
    protocol: Protocol = Protocol.LEGACY,
    sizes: Sizes | None = None,
    softdevices: tuple[int, ...] = (0x64,),
) -> Payload:
    return Payload(
        targets=(Target.MICROBIT_V1,),
        protocol=protocol,
        role=Role.APPLICATION,
        address=0x18000,
        data=data,
        sizes=sizes or Sizes(application=len(data)),
        init=init,
        softdevices=softdevices,
    )


@dataclass
class Scripted:
    """Does what transfers ask. ``gone`` says that the connection is lost, ``modes`` what is heard next.

    ``answers`` has for the start of a write, in hex, what becomes of it instead of what a good board would do: one
    answer after the other, each a notification, nothing, or an error; the board is good again when none is left.
    """

    answers: dict[str, list[Answer]] = field(default_factory=dict)
    opened: Opened = field(default_factory=lambda: Opened(frozenset(), 20, 3))
    opens: list[Opened | LinkError] = field(default_factory=list)
    modes: list[BoardMode | None] = field(default_factory=list)
    gone: bool = False
    leaves: bool = True
    now: float = 0.0
    request_seconds: float = 0.0
    asked: list[Operation] = field(default_factory=list)
    said: deque[Notification] = field(default_factory=deque)
    memory: Memory = field(default_factory=Memory)
    kept: list[Memory] = field(default_factory=list)
    subscribed: set[str] = field(default_factory=set)

    def clock(self) -> float:
        return self.now

    def run(self, transfer: Transfer[T]) -> T:
        result: Any = None
        error: LinkError | None = None
        while True:
            try:
                operation = transfer.send(result) if error is None else transfer.throw(error)
            except StopIteration as end:
                value: T = end.value
                return value
            self.asked.append(operation)
            result = error = None
            try:
                result = self.do(operation)
            except LinkError as raised:
                error = raised

    def do(self, operation: Operation) -> Any:
        match operation:
            case Write() | Request():
                return self.write(operation)
            case Wait():
                return self.wait(operation.seconds)
            case Open():
                return self.open()
            case Lost():
                self.now += 0 if self.gone or self.leaves else operation.seconds
                return self.gone or self.leaves
            case _:
                return self.do_other(operation)

    def do_other(self, operation: Operation) -> Any:
        match operation:
            case Read() | Subscribe() if self.gone:
                raise LinkLostError
            case Read():
                return self.read()
            case Subscribe():
                self.subscribed.add(operation.characteristic)
            case Heard():
                return self.modes.pop(0) if self.modes else None
            case Keep():
                self.kept.append(replace(self.memory))
        return None

    def open(self) -> Opened:
        self.gone = False
        self.said.clear()
        self.subscribed.clear()
        brought = self.opens.pop(0) if self.opens else self.opened
        if isinstance(brought, LinkError):
            raise brought
        return brought

    def read(self) -> bytes:
        raise AssertionError("nothing is there to be read")

    def wait(self, seconds: float) -> Notification | None:
        if self.said:
            return self.said.popleft()
        if self.gone:
            raise LinkLostError
        self.now += seconds
        return None

    def write(self, operation: Write | Request) -> None:
        if self.gone:
            raise LinkLostError
        self.now += self.request_seconds if isinstance(operation, Request) else 0.0
        for start, answers in self.answers.items():
            if operation.data.hex().startswith(start.replace(" ", "")) and answers and self.is_control(operation):
                answer = answers.pop(0)
                if isinstance(answer, LinkError):
                    raise answer
                if answer is not None:
                    self.say(answer)
                return
        self.take(operation)

    def is_control(self, operation: Write | Request) -> bool:
        return isinstance(operation, Request)

    def take(self, operation: Write | Request) -> None:
        raise NotImplementedError

    def say(self, data: bytes) -> None:
        raise NotImplementedError

    def notify(self, characteristic: str, data: bytes) -> None:
        if characteristic in self.subscribed:
            self.said.append(Notification(characteristic, data))

    def of(self, kind: type[T]) -> list[T]:
        return [operation for operation in self.asked if isinstance(operation, kind)]

    @property
    def requests(self) -> list[str]:
        return [request.data.hex(" ") for request in self.of(Request)]

    @property
    def notes(self) -> list[str]:
        return [tell.step.note for tell in self.of(Tell) if tell.step.note]
