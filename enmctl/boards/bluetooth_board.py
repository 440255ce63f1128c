"""What all boards have in common that are updated over Bluetooth by Nordic's DFU: a driver for one is a subclass.

A subclass says how its boards advertise, and for which of its kinds a board is that has shown what it offers; see
docs/add-a-board.md.
"""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ClassVar, Final

from enmctl.boards.adverts import ADDRESS, BOOTLOADERS, mode_of
from enmctl.boards.bluetooth_link import BluetoothLink
from enmctl.boards.contract import Answer, Applied, Firmware, Heard
from enmctl.boards.manner import NO_RESUME
from enmctl.boards.nordic_firmware import NordicFirmware, described, read_nordic
from enmctl.boards.pairing import pair
from enmctl.boards.surroundings import Surroundings
from enmctl.dfu.driver import Finished, carry_out
from enmctl.dfu.gatt import LED_TEXT, UNBONDED
from enmctl.dfu.limits import Limits
from enmctl.dfu.link import GattError, LinkError, Memory, Opened
from enmctl.dfu.rehearsal import Rehearsed, rehearse
from enmctl.dfu.restarting import restart
from enmctl.dfu.setbacks import needs_bond
from enmctl.dfu.update import Choice, Job, update
from enmctl.errors import BoardError, FirmwareError, OfflineError, RadioError, RefusedError
from enmctl.firmware.payload import Payload
from enmctl.firmware.targets import Target
from enmctl.models import BoardMode, DiscoveredBoard, Radio, Stage, Step
from enmctl.radio.bluetooth import Advert, BluetoothRadio
from enmctl.settings import Settings

LOG = logging.getLogger(__name__)

SETTLED_BY: Final = {
    "bond-lost": "forgets the bond that the board does not know any more",
    "needs-bond": "pairs with the board",
}
"""What is done, where a person is there to allow it, about reasons for which a board does not let this machine in."""

STARTS_WITHIN: Final = 3.0
"""Seconds in which a program that was told to start its bootloader has done so; a micro:bit V1 takes one."""

SYSTEM_ASKS: Final = "where this system asks whether to pair with the board, allow it"

NOT_HEARD_AGAIN: Final = "it took the order, and is not heard again: most programs have no Bluetooth of their own"

TEXT_MOST: Final = 20
"""Characters that a micro:bit's LED service takes at once (Bluetooth profile of the micro:bit)."""


class BluetoothBoard:
    """Keeps ``enmctl.boards.contract.BoardDriver`` for boards with a Nordic chip.

    Attributes:
        surroundings: filled in by whoever runs the driver.
    """

    board_type: ClassVar[str]
    radio: ClassVar[Radio] = Radio.BLUETOOTH
    targets: ClassVar[tuple[Target, ...]]
    """The kinds of boards that the type covers."""
    bootloaders: ClassVar[frozenset[str]] = BOOTLOADERS
    """The services of their bootloaders."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.surroundings = Surroundings()

    @abstractmethod
    def program_of(self, advert: Advert) -> tuple[int | None, str] | None:
        """The application that a running program's advertisement names (None: none) and the board's name there.

        None where it is no board of this type. Never raises.
        """

    @abstractmethod
    def kind_of(self, opened: Opened) -> Target | None:
        """Which kind a board is that offers this, or None where that does not tell."""

    def recognise(self, heard: Heard) -> DiscoveredBoard | None:
        """The board behind an advertisement; a bootloader names no application and may be of another type."""
        if not isinstance(heard, Advert):
            return None
        program = self.program_of(heard)
        if program is not None:
            return self._discovered(heard, program[0], program[1], BoardMode.APPLICATION)
        if mode_of(heard) is not BoardMode.BOOTLOADER or self._is_of_others(heard):
            return None
        return self._discovered(heard, None, heard.name or "bootloader", BoardMode.BOOTLOADER)

    def mode_of(self, advert: Advert) -> BoardMode:
        """What an advertisement shows of a board of this type."""
        return BoardMode.APPLICATION if self.program_of(advert) is not None else mode_of(advert)

    def at_address(self, address: str) -> DiscoveredBoard | None:
        """The board at a Bluetooth address."""
        if not ADDRESS.fullmatch(address):
            return None
        return DiscoveredBoard(
            board_type=self.board_type,
            application_id=None,
            local_id=address.upper(),
            radio=self.radio,
            name=address.upper(),
            addresses=(address.upper(),),
        )

    def read_firmware(self, path: Path, config: Mapping[str, str]) -> Firmware:
        """Read and check a file of any kind that ``enmctl inspect`` knows, or an asset's folder."""
        return read_nordic(path, self.board_type, self.targets, config)

    async def alive(self, board: DiscoveredBoard) -> bool:
        """Whether it is heard within ENM_BLUETOOTH_LONG_TIMEOUT."""
        seconds = self._settings.bluetooth_long_timeout
        address = board.addresses[0]
        return await self._radio(board).heard(lambda advert: advert.address == address, seconds) is not None

    async def ask(self, board: DiscoveredBoard, config: Mapping[str, str]) -> Answer:  # noqa: ARG002 - it has no words
        """Nothing: these boards tell no version, and a connection only to find that out would keep others waiting."""
        return Answer()

    async def update(
        self, board: DiscoveredBoard, firmware: Firmware, config: Mapping[str, str]
    ) -> AsyncGenerator[Step, None]:
        """Send what is for this kind of board, wait until it is back, and tell how that is known."""
        if not isinstance(firmware, NordicFirmware):
            raise _no_firmware(firmware, board)
        address = board.addresses[0]
        memory = await self.surroundings.memories.load(address)
        if config.get(NO_RESUME) and memory.begun == "dfu":
            memory.forget()
            yield Step(Stage.CHECKING, note="begins anew, as it was told to")

        if board.mode is BoardMode.APPLICATION:
            memory.name = board.short_name

        def choose(opened: Opened) -> Choice:
            return self.choice(board, opened, firmware, config)

        job = Job(board.name, choose, board.mode, may_be_silent=board.application_id is None)
        tried: set[str] = set()
        while True:
            try:
                async with aclosing(self._transferred(board, job, memory)) as steps:
                    async for step in steps:
                        yield step
            except RefusedError as error:
                why = error.reason
                if why in tried or not self._may_settle(why, memory):
                    raise
            else:
                return
            tried.add(why)
            yield Step(Stage.CHECKING, note=SETTLED_BY[why])
            await self._settle_bond(board, why)

    def _may_settle(self, why: str, memory: Memory) -> bool:
        """Whether something may be done about a refusal; a board had its bond when a transfer to it began."""
        return self.surroundings.may_pair and why in SETTLED_BY and not (why == "bond-lost" and memory.begun)

    async def _settle_bond(self, board: DiscoveredBoard, why: str) -> None:
        """Forget a bond that the board has lost, for its program may be one that needs none; or make one."""
        link = self._link(board)
        if why == "bond-lost":
            await link.unpair()
            return
        ask = self.surroundings.ask_passkey
        await pair(link, board, None if ask is None else partial(ask, board), self._limits)

    def choice(
        self, board: DiscoveredBoard, opened: Opened, firmware: NordicFirmware, config: Mapping[str, str]
    ) -> Choice:
        """What a board gets that offers this.

        Raises:
            FirmwareError: there is nothing for it.
            RefusedError: it does not tell what it is.
        """
        del config
        return Choice(firmware.for_target(self._kind(board, opened)))

    async def rehearse(self, board: DiscoveredBoard, firmware: Firmware, config: Mapping[str, str]) -> str:
        """What this very board would be sent: it is connected to and asked, and neither paired with nor changed."""
        if not isinstance(firmware, NordicFirmware):
            raise _no_firmware(firmware, board)
        memory = await self.surroundings.memories.load(board.addresses[0])
        if config.get(NO_RESUME) and memory.begun == "dfu":
            memory.forget()
        link = self._link(board)
        mode = await link.find(self._limits.answer)
        if mode is None:
            raise _not_heard(board)
        chosen: list[Choice] = []

        def choose(opened: Opened) -> Choice:
            chosen.append(self.choice(board, opened, firmware, config))
            return chosen[-1]

        may_ask = await self._radio(board).is_bonded(board.addresses[0]) is not None
        order = rehearse(Job(board.name, choose, mode), memory, self._limits, may_ask=may_ask)
        try:
            async with aclosing(carry_out(order, link)) as news:
                async for item in news:
                    if isinstance(item, Finished):
                        return self._would_be(item.value)
        except RefusedError as error:
            if not self._may_settle(error.reason, memory):
                raise
        payloads = chosen[-1].payloads if chosen else firmware.payloads
        return f"it would be {self._images(payloads)}, or a part of that: known once the board is paired with"

    def _would_be(self, told: Rehearsed) -> str:
        images = self._images(told.choice.payloads)
        if not told.is_asked:
            return f"it would be {images}, or a part of that: known once the board is asked"
        if told.part_size == 0:
            return "it would be nothing, the board runs this very program"
        if told.part_size is not None:
            return f"it would be {told.part_size} bytes, the user's part alone of {images}"
        return f"it would be all of it, {images}" + (f": {told.why}" if told.why else "")

    def _images(self, payloads: Sequence[Payload]) -> str:
        return ", ".join(described(payload, self.targets) for payload in payloads)

    async def left_with(self, board: DiscoveredBoard) -> str:
        """What a board is left with whose update was stopped, as the memory of the transfer tells.

        Where that tells nothing was begun, the board may have started its bootloader already: it is listened to.
        """
        memory = await self.surroundings.memories.load(board.addresses[0])
        if memory.begun == "partial":
            return "it waits in its pairing mode for the rest of the program; flash the same file again to go on"
        if memory.begun:
            return "it waits in its bootloader; flash the same file again to go on"
        if await self._link(board).heard(None, STARTS_WITHIN) is BoardMode.BOOTLOADER:
            return "it waits in its bootloader, and runs again within two minutes where it has a whole program"
        return ""

    async def restart(self, board: DiscoveredBoard, config: Mapping[str, str]) -> str:  # noqa: ARG002 - needs none
        """Restart the board and wait until it is back; RefusedError where its program offers no way."""
        order = restart(board.name, board.mode, self._limits, may_be_silent=board.application_id is None)
        async with aclosing(carry_out(order, self._link(board))) as news:
            async for item in news:
                if isinstance(item, Finished) and not item.value:
                    return NOT_HEARD_AGAIN
        return ""

    async def identify(self, board: DiscoveredBoard, config: Mapping[str, str]) -> None:  # noqa: ARG002 - needs none
        """Have the board show its name on its LEDs; RefusedError where its program offers no way."""
        async with self._opened(board) as link:
            if LED_TEXT not in link.connection.characteristics:
                raise RefusedError(
                    f"the program on {board.name} offers no way to show itself",
                    remedy="a program with the LED service does",
                    reason="unsupported",
                )
            await link.request(LED_TEXT, board.short_name.encode()[:TEXT_MOST])

    async def configure(
        self,
        board: DiscoveredBoard,
        config: Mapping[str, str],
        *,
        new_config: Mapping[str, str] | None,
        new_environment: Mapping[str, str] | None,
    ) -> Applied:
        """Nothing: these boards have no channel for either, so both count as applied with the firmware."""
        del board, config, new_config, new_environment
        return Applied(config=False, environment=False)

    def _is_of_others(self, advert: Advert) -> bool:
        """Whether a bootloader tells that it speaks what no board of this type does."""
        told = advert.services & BOOTLOADERS
        return bool(told) and not told & self.bootloaders

    def _discovered(self, advert: Advert, application_id: int | None, name: str, mode: BoardMode) -> DiscoveredBoard:
        return DiscoveredBoard(
            board_type=self.board_type,
            application_id=application_id,
            local_id=advert.address.upper(),
            radio=self.radio,
            name=name,
            addresses=(advert.address,),
            mode=mode,
            signal=advert.signal,
        )

    def _kind(self, board: DiscoveredBoard, opened: Opened) -> Target:
        kind = self.kind_of(opened)
        if kind is None:
            raise RefusedError(
                f"{board.name} does not show what it is: its program offers no update over Bluetooth",
                remedy="bring it into its pairing mode, or flash it over USB",
                reason="unsupported",
                permanent=False,
            )
        return kind

    async def _transferred(self, board: DiscoveredBoard, job: Job, memory: Memory) -> AsyncGenerator[Step, None]:
        asks = self.surroundings.may_pair and await self._radio(board).is_bonded(board.addresses[0]) is None
        if asks and board.mode is BoardMode.APPLICATION:
            yield Step(Stage.CHECKING, note=SYSTEM_ASKS)
        link = self._link(board, memory, may_ask=asks)
        mode = await link.find(self._limits.answer)
        if mode is None:
            raise _not_heard(board)
        loop = asyncio.get_running_loop()
        transfer = update(replace(job, mode=mode), memory, self._limits, loop.time)
        async with aclosing(carry_out(transfer, link)) as news:
            async for item in news:
                if isinstance(item, Finished):
                    yield Step(Stage.DONE, proof=item.value)
                else:
                    yield item

    @property
    def _limits(self) -> Limits:
        settings = self._settings
        return Limits(
            operation=settings.bluetooth_short_timeout,
            answer=settings.bluetooth_long_timeout,
            back=settings.return_timeout,
            silent=settings.bluetooth_long_timeout,
        )

    def _radio(self, board: DiscoveredBoard) -> BluetoothRadio:
        radio = self.surroundings.bluetooth
        if radio is None:
            raise RadioError(f"Bluetooth is not open, and {board.name} is reached by it alone", reason="no-bluetooth")
        return radio

    def _link(self, board: DiscoveredBoard, memory: Memory | None = None, *, may_ask: bool = False) -> BluetoothLink:
        """A link to the board; with a memory for a transfer, which is written down in the end."""
        address = board.addresses[0]
        keep = None if memory is None else partial(self.surroundings.memories.keep, address, memory)
        return BluetoothLink(self._radio(board), address, board.name, mode_of=self.mode_of, keep=keep, may_ask=may_ask)

    @asynccontextmanager
    async def _opened(self, board: DiscoveredBoard) -> AsyncGenerator[BluetoothLink]:
        """A connection to the running program, for something short; errors of the link as people know them."""
        link = self._link(board)
        try:
            await link.open(board.mode, self._limits.answer)
            yield link
        except GattError as error:
            if error.code in UNBONDED:
                raise needs_bond(board.name) from None
            raise BoardError(f"{board.name} refused: {error}", reason="att-error") from None
        except LinkError:
            raise OfflineError(
                f"{board.name} is not heard, or the connection broke", remedy="bring it nearer and try again"
            ) from None
        finally:
            await link.close()


def _no_firmware(firmware: Firmware, board: DiscoveredBoard) -> FirmwareError:
    return FirmwareError(f"{firmware.describe} is no firmware for {board.board_type} boards")


def _not_heard(board: DiscoveredBoard) -> OfflineError:
    return OfflineError(f"{board.name} is not heard", remedy="power it, and bring it nearer", reason="not-heard")
