"""Firmware for boards with a Nordic chip: any file that ``enmctl inspect`` knows, or the folder of an asset."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from enmctl.boards.contract import Firmware
from enmctl.boards.manner import ALLOW_SYSTEM
from enmctl.errors import FirmwareError
from enmctl.firmware.inspect import Inspection, Refusal, inspect
from enmctl.firmware.nordic_boards import takes_system
from enmctl.firmware.payload import Payload
from enmctl.firmware.places import There, what_is_at
from enmctl.firmware.targets import Target

ENDINGS: Final = (".zip", ".hex", ".bin")
"""What counts as firmware in the folder of an asset; a ``.dat`` belongs to the ``.bin`` of its name."""

FILES_MOST: Final = 8


@dataclass(frozen=True, slots=True)
class NordicFirmware(Firmware):
    """Checked images for one or more kinds of one board type; a board is sent those for its own kind.

    ``data`` is the largest of them. ``refusals`` tells why a kind gets none.
    """

    payloads: tuple[Payload, ...] = ()
    refusals: tuple[Refusal, ...] = field(default=(), repr=False)

    def for_target(self, target: Target) -> tuple[Payload, ...]:
        """What a board of this kind is sent, in this order.

        Raises:
            FirmwareError: there is nothing for it; with the reason where the file tells one.
        """
        found = tuple(payload for payload in self.payloads if target in payload.targets)
        if found:
            return found
        for refusal in self.refusals:
            if not refusal.targets or target in refusal.targets:
                raise FirmwareError(
                    f"there is nothing for a {target.words} in it: {refusal.message}",
                    remedy=refusal.remedy,
                    reason=refusal.reason,
                )
        others = ", ".join(sorted({other.words for payload in self.payloads for other in payload.targets}))
        raise FirmwareError(
            f"there is nothing for a {target.words} in it, it is for {others}",
            remedy="build it for this board",
            reason="wrong-board",
        )


def read_nordic(path: Path, board_type: str, targets: Collection[Target], config: Mapping[str, str]) -> NordicFirmware:
    """Read and check what is to be sent: a firmware file, or the folder of an unpacked asset.

    Args:
        path: the file, or the folder.
        board_type: what it is read for.
        targets: the kinds of boards of this type.
        config: ``ENM_ALLOW_SYSTEM`` in it lets system images through.

    Raises:
        FirmwareError: nothing in it may be sent to any of the boards; the reasons of ``inspect``, ``no-firmware``,
            ``ambiguous``, ``system`` and ``wrong-chip``.
    """
    looked = [inspect(file) for file in (_files(path) if what_is_at(path) is There.FOLDER else [path])]
    chosen = {one.name: _sent_of(one, targets) for one in looked}
    payloads = [payload for of_file in chosen.values() for payload in of_file]
    refusals = tuple(refusal for one in looked for refusal in one.refusals)
    _refuse_second_programs(chosen, targets)
    if not payloads:
        raise _nothing(path, looked, refusals, targets)
    if any(payload.system for payload in payloads) and not config.get(ALLOW_SYSTEM):
        raise FirmwareError(
            f"{path.name} replaces the SoftDevice or the bootloader, and a wrong one makes the board unreachable",
            remedy="say so by name: --allow-system",
            reason="system",
        )
    largest = max(payloads, key=lambda payload: payload.size)
    return NordicFirmware(
        board_type,
        largest.data,
        largest.sha256,
        ", ".join(described(payload, targets) for payload in payloads),
        payloads=tuple(payloads),
        refusals=refusals,
    )


def _sent_of(one: Inspection, targets: Collection[Target]) -> tuple[Payload, ...]:
    """What of a file goes to these kinds of boards; of a package with system images it is all or nothing.

    Its application tells which kinds are meant, and where it has none, the chip alone.
    """
    system = [payload for payload in one.payloads if payload.system]
    if not system:
        return tuple(payload for payload in one.payloads if set(payload.targets) & set(targets))
    if one.refusals:
        return ()
    programs = [payload for payload in one.payloads if not payload.system]
    meant = {target for target in targets if all(target in payload.targets for payload in programs)}
    kinds = {target for target in meant if all(takes_system(target, payload.targets) for payload in system)}
    if programs and meant - kinds:
        others = {target for payload in system for target in payload.targets}
        raise FirmwareError(
            f"{one.name} has an application for {_words(meant - kinds)}, and a SoftDevice or bootloader for"
            f" {_words(others)}",
            remedy="make the package for one board",
            reason="wrong-chip",
        )
    of_kinds = tuple(target for target in targets if target in kinds)
    return tuple(replace(payload, targets=of_kinds) for payload in one.payloads) if kinds else ()


def _words(targets: Collection[Target]) -> str:
    return " and ".join(sorted(target.words for target in targets))


def described(payload: Payload, targets: Collection[Target]) -> str:
    """How large an image is, and for which of these kinds of boards."""
    what = f" of {payload.role.words}" if payload.system else ""
    return f"{payload.size} bytes{what} for {_words([target for target in payload.targets if target in targets])}"


def _files(folder: Path) -> list[Path]:
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in ENDINGS and file.is_file())
    if not files:
        inside = ", ".join(sorted(member.name for member in folder.iterdir() if not member.name.startswith("."))[:5])
        raise FirmwareError(
            f"the asset holds no firmware, it holds {inside or 'nothing'}",
            remedy="put the build's application.zip, or a .hex, into the image's /assets folder",
            reason="no-firmware",
        )
    if len(files) > FILES_MOST:
        raise FirmwareError(
            f"the asset holds {len(files)} firmware files", remedy="put one for each board into it", reason="ambiguous"
        )
    return files


def _refuse_second_programs(chosen: Mapping[str, Sequence[Payload]], targets: Collection[Target]) -> None:
    """Refuse two files that both hold something for the same kind of board: nothing tells which is meant."""
    taken: dict[Target, str] = {}
    for name, payloads in chosen.items():
        mine = {target for payload in payloads for target in payload.targets} & set(targets)
        for target in mine:
            if target in taken:
                raise FirmwareError(
                    f"{taken[target]} and {name} both are for a {target.words}",
                    remedy="leave one of them out of the asset",
                    reason="ambiguous",
                )
            taken[target] = name


def _nothing(
    path: Path, looked: Sequence[Inspection], refusals: Sequence[Refusal], targets: Collection[Target]
) -> FirmwareError:
    if refusals:
        first = refusals[0]
        return FirmwareError(f"{path.name} cannot be sent, {first.message}", remedy=first.remedy, reason=first.reason)
    words = ", ".join(sorted({t.words for one in looked for payload in one.payloads for t in payload.targets}))
    meant = " or ".join(sorted(target.words for target in targets))
    return FirmwareError(
        f"{path.name} is for {words or 'no board'}, and not for {meant}",
        remedy="build it for this board",
        reason="wrong-board",
    )
