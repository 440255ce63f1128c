"""Bluetooth boards on an air of their own, and the drivers that reach them over it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from enmctl.boards.adverts import ADDRESS
from enmctl.boards.bluetooth_board import BluetoothBoard
from enmctl.boards.microbit import Microbit
from enmctl.boards.nrf51822dk import Nrf51822Dk
from enmctl.models import BoardMode, DiscoveredBoard, Proof, Stage, Step
from enmctl.radio.bluetooth import Advert, BluetoothRadio
from enmctl.settings import Settings
from enmctl.simulator.bluetooth.air import Timing
from enmctl.simulator.bluetooth.living import LivingBoard
from enmctl.simulator.bluetooth.neighbourhood import BREEDS, Neighbourhood
from enmctl.simulator.bluetooth.virtual import radio_on
from enmctl.simulator.nordic.images import make_image
from enmctl.simulator.nordic.microbit_application import Habits
from enmctl.simulator.nordic.packages import legacy_package, universal_hex
from enmctl.simulator.nordic.traits import ProgramTraits, RuntimeTraits

SETTINGS = Settings(bluetooth_short_timeout=2.0, bluetooth_long_timeout=3.0, return_timeout=5.0)

QUICK: Mapping[str, Any] = {"jump_after": 0.05, "hangs_up_after": 0.1, "resets_after": 0.6}
"""A micro:bit's delays, made small."""

ERASE, WORD = 0.0005, 1e-6
"""Seconds in which the flash of a quick board erases a page and writes a word."""

QUICK_AIR = Timing(interval=0.002, advertising=0.02)
"""Connection events as often as the flash of a quick board bears; real ones come every 7.5 ms at most."""

RUNTIME = RuntimeTraits(partial=True)
SIZE, CODE = 12 * 1024, 3 * 1024
"""Bytes of a program, and of the user's part of it."""

DK = 4711
"""The application of the nRF51822-DK."""


def image(
    breed: str,
    *,
    seed: int = 1,
    runtime: RuntimeTraits = RUNTIME,
    runtime_seed: int = 0,
    size: int = SIZE,
    **traits: Any,
) -> bytes:
    """A program for one kind of board; those of one runtime and its seed differ in the user's part alone."""
    of = BREEDS[breed]
    runtime = runtime if of.board_type == "microbit" else RuntimeTraits()
    program = ProgramTraits(**({"led": True} | traits))
    return make_image(
        of.layout, program, runtime=runtime, size=size, code_size=CODE, seed=seed, runtime_seed=runtime_seed
    )


def program_file(folder: Path, *, seed: int = 1, name: str = "program", **options: Any) -> Path:
    """A Universal Hex of a program for both micro:bits."""
    file = folder / f"{name}-{seed}.hex"
    v1, v2 = (image(breed, seed=seed, **options) for breed in ("microbit-v1", "microbit-v2"))
    file.write_bytes(universal_hex(v1, v2))
    return file


def package_file(folder: Path, *, seed: int = 1, **options: Any) -> Path:
    """A package with a program for the nRF51822-DK."""
    file = folder / f"package-{seed}.zip"
    file.write_bytes(legacy_package(dk_image(seed=seed, **options)))
    return file


def dk_image(*, seed: int = 1, **options: Any) -> bytes:
    """That program, which goes on advertising its application."""
    return image("nrf51822dk", seed=seed, **({"name": str(DK)} | options))


def made_quick(living: LivingBoard) -> LivingBoard:
    """A board with a quick flash."""
    flash = living.board.machine.flash
    flash.erase_seconds, flash.word_seconds = ERASE, WORD
    return living


class Room:
    """An air, a radio on it, and drivers; what is put on it lasts as long as the room.

    Attributes:
        boards: the last board of each breed that was switched on.
    """

    def __init__(self, stack: AsyncExitStack, neighbourhood: Neighbourhood, settings: Settings) -> None:
        self.neighbourhood = neighbourhood
        self.settings = settings
        self.boards: dict[str, LivingBoard] = {}
        self.drivers: dict[str, BluetoothBoard] = {"microbit": Microbit(settings), "nrf51822dk": Nrf51822Dk(settings)}
        self._stack = stack
        self._radio: BluetoothRadio | None = None

    @property
    def radio(self) -> BluetoothRadio:
        """The one radio that is open."""
        assert self._radio is not None
        return self._radio

    async def open_radio(self, **habits: bool) -> BluetoothRadio:
        """Open a radio for the drivers, in the place of the one before."""
        backend = radio_on(self.neighbourhood.air, **habits)
        self._radio = await self._stack.enter_async_context(BluetoothRadio(self.settings, backend))
        for driver in self.drivers.values():
            driver.surroundings.bluetooth = self._radio
        return self._radio

    async def add(self, breed: str, serial: int = 1, **made: Any) -> LivingBoard:
        """Switch one more board on, a quick one."""
        if BREEDS[breed].board_type == "microbit":
            made.setdefault("habits", Habits(**QUICK))
            if "image" not in made and not {"runtime", "program"} & made.keys():
                made["image"] = image(breed, seed=0)
        else:
            made.setdefault("application_id", DK)
        living = made_quick(await self.neighbourhood.add(breed, serial, **made))
        self.boards[breed] = living
        return living

    def driver_of(self, living: LivingBoard) -> BluetoothBoard:
        """The driver for a board."""
        return self.drivers[BREEDS[living.board.kind].board_type]

    async def heard(self, living: LivingBoard, mode: BoardMode | None = None) -> DiscoveredBoard:
        """The board as it is heard now."""
        driver = self.driver_of(living)

        def is_it(advert: Advert) -> bool:
            board = driver.recognise(advert)
            return board is not None and self._stands_for(advert, living) and mode in (None, board.mode)

        advert = await self.radio.heard(is_it, 5.0)
        assert advert is not None, living.describe()
        board = driver.recognise(advert)
        assert board is not None
        return board

    def _stands_for(self, advert: Advert, living: LivingBoard) -> bool:
        """Whether a board advertises, perhaps at its bootloader's address; a hidden one is told by its name."""
        own = living.local_id
        if not ADDRESS.fullmatch(advert.address):
            return bool(advert.name == living.describe()["advertised"])
        return advert.address in (own, living.describe()["advertisedAddress"])

    async def flash(
        self,
        living: LivingBoard,
        file: Path,
        *,
        board: DiscoveredBoard | None = None,
        config: Mapping[str, str] = MappingProxyType({}),
    ) -> list[Step]:
        """Put a file on a board, and return all news of it."""
        driver = self.driver_of(living)
        firmware = driver.read_firmware(file, config)
        board = board or await self.heard(living)
        return [step async for step in driver.update(board, firmware, config)]

    async def rehearse(
        self, living: LivingBoard, file: Path, *, config: Mapping[str, str] = MappingProxyType({})
    ) -> str:
        """What a board would be sent of a file."""
        driver = self.driver_of(living)
        return await driver.rehearse(await self.heard(living), driver.read_firmware(file, config), config)


@asynccontextmanager
async def room(settings: Settings = SETTINGS, *, timing: Timing = QUICK_AIR) -> AsyncGenerator[Room]:
    """A room without boards."""
    async with AsyncExitStack() as stack:
        neighbourhood = await stack.enter_async_context(Neighbourhood(timing=timing))
        yield Room(stack, neighbourhood, settings)


def notes(steps: list[Step]) -> str:
    """All remarks, a line each."""
    return "\n".join(step.note for step in steps if step.note)


def stages(steps: list[Step]) -> list[Stage]:
    """The stages, each as often as it began."""
    return [step.stage for at, step in enumerate(steps) if not at or step.stage is not steps[at - 1].stage]


def proof(steps: list[Step]) -> Proof | None:
    """How it is known that it went well."""
    return steps[-1].proof


def sent(steps: list[Step]) -> int:
    """Bytes that were announced for the last transfer."""
    return next((step.total for step in reversed(steps) if step.total), 0)
