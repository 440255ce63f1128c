"""The Bluetooth boards of a simulated world, on one air that other programs on this machine can be let onto."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from enmctl.errors import UsageError
from enmctl.gateway.reach import Reach
from enmctl.radio.bluetooth import BluetoothRadio
from enmctl.simulator.bluetooth.air import Air, Timing
from enmctl.simulator.bluetooth.channel import AirServer
from enmctl.simulator.bluetooth.hosting import RSSI
from enmctl.simulator.bluetooth.living import LivingBoard
from enmctl.simulator.bluetooth.virtual import radio_on
from enmctl.simulator.nordic import presets
from enmctl.simulator.nordic.board import NordicBoard
from enmctl.simulator.nordic.chips import MICROBIT_V1, MICROBIT_V2, NRF51822DK, Layout
from enmctl.simulator.nordic.images import make_image
from enmctl.simulator.nordic.packages import legacy_package, universal_hex
from enmctl.simulator.nordic.traits import ProgramTraits, RuntimeTraits

MICROBIT: Final = "microbit"
DK: Final = "nrf51822dk"

RUNTIME: Final = RuntimeTraits(partial=True)
DK_NAME: Final = "nrf51422_xxac_s130"
"""What the original calls the files of an nRF51822-DK."""


AS_FAST_AS_IT_GOES: Final = Timing(interval=0.0075, per_event=6)
"""The shortest connection interval, and as many packets in it as an nRF51 takes."""


@dataclass(frozen=True, slots=True)
class Breed:
    """A kind of simulated board: its type, where its program lies, and how one is made."""

    board_type: str
    layout: Layout
    make: Callable[..., NordicBoard]
    runtime: RuntimeTraits


BREEDS: Final[Mapping[str, Breed]] = {
    "microbit-v1": Breed(MICROBIT, MICROBIT_V1, presets.microbit_v1, RUNTIME),
    "microbit-v2": Breed(MICROBIT, MICROBIT_V2, presets.microbit_v2, RUNTIME),
    "nrf51822dk": Breed(DK, NRF51822DK, presets.nrf51822dk, RuntimeTraits()),
}
"""By what they are called."""


def breed_of(board_type: str, number: int) -> str:
    """What the board of this number is, where an application is for all boards of a type: V1 and V2 by turns."""
    breeds = [name for name, breed in BREEDS.items() if breed.board_type == board_type]
    if not breeds:
        raise UsageError(f"boards of type {board_type!r} cannot be simulated over Bluetooth")
    return breeds[number % len(breeds)]


def asset(board_type: str, application_id: int | None, commit: str, *, size: int, seed: int) -> Mapping[str, bytes]:
    """The members of a release's asset: a program that goes on advertising its application, or the board's own name.

    Args:
        board_type: the boards that it is for.
        application_id: the application; None on a micro:bit: it goes on showing its own name.
        commit: what the release is called.
        size: bytes of each image.
        seed: releases with different seeds differ.
    """
    name = "" if application_id is None else str(application_id)
    program = ProgramTraits(name=name, led=True, version=commit[:8])

    def image(name: str) -> bytes:
        breed = BREEDS[name]
        return make_image(breed.layout, program, runtime=breed.runtime, size=size, code_size=size // 4, seed=seed)

    if board_type == MICROBIT:
        return {"application.hex": universal_hex(image("microbit-v1"), image("microbit-v2"))}
    return {"application.zip": legacy_package(image("nrf51822dk"), name=DK_NAME)}


class Neighbourhood:
    """An air with boards; a context manager, whose boards are switched on by ``add``.

    Args:
        port: where other programs are let onto the air; 0 takes a free one.
        timing: how fast the air is. Without pace more packets reach a board at once than its buffers hold.
    """

    def __init__(self, *, port: int = 0, timing: Timing = AS_FAST_AS_IT_GOES) -> None:
        self.air = Air(timing)
        self._server = AirServer(self.air, port=port)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._stack.callback(self.air.close)
        await self._stack.enter_async_context(self._server)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @property
    def adapter(self) -> str:
        """What ENM_BLUETOOTH_ADAPTER is to say in other programs."""
        return self._server.address

    @property
    def reach(self) -> Reach:
        """What reaches this air in this program, and nothing beyond this machine."""
        return Reach(loopback_only=True, open_bluetooth=lambda settings: BluetoothRadio(settings, radio_on(self.air)))

    async def add(
        self,
        breed: str,
        serial: int,
        *,
        application_id: int | None = None,
        flash_file: Path | None = None,
        rssi: int = RSSI,
        **made: Any,
    ) -> LivingBoard:
        """Switch one more board on.

        Args:
            breed: a name in ``BREEDS``.
            serial: its chip's number; its address and, on a micro:bit, its name follow from it.
            application_id: what its first program advertises; its own name where left out.
            flash_file: where its flash is kept; one that is there already is what it starts with.
            rssi: dBm at which it is heard.
            made: how it leaves the factory, see ``enmctl.simulator.nordic.presets``.
        """
        of = BREEDS[breed]
        name = "" if application_id is None else str(application_id)
        usual = {"program": ProgramTraits(name=name, led=True), "content": _kept(flash_file, of.layout)}
        board = of.make(serial, **usual | made)
        living = LivingBoard(self.air, board, flash_file=flash_file, rssi=rssi)
        await self._stack.enter_async_context(living)
        return living


def _kept(file: Path | None, layout: Layout) -> bytes | None:
    """The flash of a board from an earlier life; None where there is none that fits."""
    try:
        content = b"" if file is None else file.read_bytes()
    except OSError:
        return None
    return content if len(content) == layout.chip.size else None
