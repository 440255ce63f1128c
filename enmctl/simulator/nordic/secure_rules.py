"""What a secure bootloader is told, what it answers, and how one build of it differs from another.

Numbers and names are those of SDK 15 and 16 (nrf_dfu_req_handler.h, nrf_dfu_handling_error.h, dfu-cc.proto,
nrf_dfu_ver_validation.c) and of the micro:bit V2's bootloader (microbit-foundation/v2-bootloader).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from enmctl.firmware.nordic_init import HASH_SIZE, MICROBIT_MAGIC, SHA256, SIGNATURE_SIZE
from enmctl.firmware.nordic_init import MICROBIT as MICROBIT_FORM
from enmctl.firmware.protobuf import Message, ProtobufError, read_message
from enmctl.simulator.nordic.records import SecureSettings

NAME: Final = "DfuTarg"
VERSION, CREATE, RECEIPTS, CRC, EXECUTE, SELECT = 0x00, 0x01, 0x02, 0x03, 0x04, 0x06
MTU_GET, PING, HARDWARE, FIRMWARE, ABORT = 0x07, 0x09, 0x0A, 0x0B, 0x0C
COMMAND, DATA = 1, 2

SUCCESS, NOT_SUPPORTED, INVALID_PARAMETER, NO_RESOURCES, INVALID_OBJECT = 1, 2, 3, 4, 5
NOT_PERMITTED, FAILED, EXTENDED = 8, 0x0A, 0x0B
INIT_INVALID, FIRMWARE_VERSION, HARDWARE_VERSION, SOFTDEVICE_VERSION, NO_SIGNATURE = 4, 5, 6, 7, 8
WRONG_HASH_TYPE, WRONG_SIGNATURE_TYPE, VERIFICATION_FAILED, NO_SPACE = 9, 0x0B, 0x0C, 0x0D

APPLICATION_TYPE, SOFTDEVICE_TYPE, BOOTLOADER_TYPE, BOTH_TYPE = range(4)
NO_VALIDATION, VALIDATE_CRC = 0, 1

OBJECT_MOST: Final = 4096
INACTIVITY_SECONDS: Final = 120.0
CLOSING_SECONDS: Final = 0.1
RESPONSE: Final = 0x60


class RefusedError(Exception):
    """A request is answered with this result instead, and where it is an extended one, with what it says."""

    def __init__(self, result: int, extended: int | None = None) -> None:
        super().__init__(result, extended)
        self.answer = bytes([result]) if extended is None else bytes((result, extended))


@dataclass(frozen=True, slots=True)
class SecureOptions:
    """How one build of the bootloader differs from another; the defaults are SDK 15 as it comes.

    ``signed`` says whether a signature must be there (whose it is is not looked at), ``reduced`` whether what Bluetooth
    does not need is left out, ``plain_init`` whether the micro:bit's own init packet is taken, ``bonds`` whether only a
    bonded caller is let in while there is an application. ``keeps_progress`` says whether what came of an image
    outlasts the connection. ``buffers`` packets wait for the flash, which holds ``operations`` in line (fstorage), None
    for as many as come. ``hash_seconds`` is what hashing one byte takes.
    """

    hardware: int = 52
    softdevice: int = 0xA8
    signed: bool = True
    reduced: bool = False
    plain_init: bool = False
    bonds: bool = False
    address_step: int = 1
    keeps_progress: bool = True
    command_most: int = 256
    mtu: int = 247
    buffers: int = 17
    operations: int | None = 16
    bootloader_most: int = 0x7000
    hash_seconds: float = 2e-6


MICROBIT: Final = SecureOptions(
    softdevice=0xCC,
    signed=False,
    reduced=True,
    plain_init=True,
    bonds=True,
    address_step=0,
    keeps_progress=False,
    command_most=512,
)


@dataclass(frozen=True, slots=True)
class Init:
    """An init packet, decoded; None where a field is not there. ``digest`` is as hashes are written everywhere else."""

    kind: int | None
    hash_type: int
    digest: bytes | None
    hardware: int | None
    softdevices: tuple[int, ...]
    version: int | None
    sizes: tuple[int, int, int]
    signature: bytes | None
    signature_type: int
    validation: int

    @property
    def size(self) -> int:
        """Bytes of the whole image that is announced, 0 where none is."""
        softdevice, bootloader, application = self.sizes
        kinds = {
            APPLICATION_TYPE: application,
            SOFTDEVICE_TYPE: softdevice,
            BOOTLOADER_TYPE: bootloader,
            BOTH_TYPE: softdevice + bootloader,
        }
        return kinds.get(self.kind or 0, 0)


def decode(packet: bytes, options: SecureOptions) -> Init | None:
    """Read an init packet; None where it is none."""
    if options.plain_init and packet.startswith(MICROBIT_MAGIC):
        return _decode_plain(packet, options)
    try:
        return _decode_message(read_message(packet))
    except ProtobufError:
        return None


def _decode_plain(packet: bytes, options: SecureOptions) -> Init | None:
    if len(packet) != MICROBIT_FORM.size:
        return None
    _, version, size, hash_size, digest = MICROBIT_FORM.unpack(packet)
    if version != 1 or hash_size not in (0, HASH_SIZE):
        return None
    return Init(
        kind=APPLICATION_TYPE,
        hash_type=SHA256,
        digest=digest[::-1] if hash_size else None,
        hardware=options.hardware,
        softdevices=(options.softdevice,),
        version=1,
        sizes=(0, 0, size),
        signature=None,
        signature_type=0,
        validation=NO_VALIDATION,
    )


def _decode_message(packet: Message) -> Init | None:
    signed = packet.message(2)
    command = signed.message(1) if signed is not None else packet.message(1)
    init = command.message(2) if command is not None else None
    if init is None or (signed is not None and packet.message(1) is not None):
        return None
    digest = init.message(8)
    value = digest.content(2) if digest is not None else None
    validations = [part for part in init.fields.get(10, []) if isinstance(part, bytes)]
    validation = read_message(validations[0]).number(1) if validations else VALIDATE_CRC
    return Init(
        kind=init.number(4),
        hash_type=(digest.number(1) or 0) if digest is not None else 0,
        digest=value[::-1] if value else None,
        hardware=init.number(2),
        softdevices=init.numbers(3),
        version=init.number(1),
        sizes=(init.number(5) or 0, init.number(6) or 0, init.number(7) or 0),
        signature=signed.content(3) if signed is not None else None,
        signature_type=(signed.number(2) or 0) if signed is not None else 0,
        validation=validation or NO_VALIDATION,
    )


def check(init: Init, options: SecureOptions, settings: SecureSettings) -> None:
    """See whether an image may be installed, in the bootloader's order.

    Raises:
        RefusedError: it may not.
    """
    _check_signature(init, options)
    if init.kind not in (APPLICATION_TYPE, SOFTDEVICE_TYPE, BOOTLOADER_TYPE, BOTH_TYPE):
        raise RefusedError(EXTENDED, INIT_INVALID)
    if init.hash_type != SHA256:
        raise RefusedError(EXTENDED, WRONG_HASH_TYPE)
    if init.hardware is None:
        raise RefusedError(EXTENDED, INIT_INVALID)
    if init.hardware != options.hardware:
        raise RefusedError(EXTENDED, HARDWARE_VERSION)
    if not _softdevice_fits(init, options):
        raise RefusedError(EXTENDED, SOFTDEVICE_VERSION)
    _check_version(init, settings)
    if init.kind in (BOOTLOADER_TYPE, BOTH_TYPE) and init.sizes[1] > options.bootloader_most:
        raise RefusedError(NO_RESOURCES)
    if not init.size:
        raise RefusedError(EXTENDED, INIT_INVALID)


def _check_signature(init: Init, options: SecureOptions) -> None:
    if init.signature is None:
        if options.signed:
            raise RefusedError(EXTENDED, NO_SIGNATURE)
    elif init.signature_type != 0:
        raise RefusedError(EXTENDED, WRONG_SIGNATURE_TYPE)
    elif len(init.signature) != SIGNATURE_SIZE:
        raise RefusedError(FAILED)


def _softdevice_fits(init: Init, options: SecureOptions) -> bool:
    if init.softdevices and init.softdevices[0]:
        return options.softdevice in init.softdevices
    return init.kind != SOFTDEVICE_TYPE


def _check_version(init: Init, settings: SecureSettings) -> None:
    """An application may be as new as the one before, a bootloader must be newer."""
    if init.version is None:
        if init.kind != SOFTDEVICE_TYPE:
            raise RefusedError(EXTENDED, INIT_INVALID)
        return
    application = init.kind in (APPLICATION_TYPE, SOFTDEVICE_TYPE)
    least = settings.version if application else settings.bootloader_version + 1
    if init.version < least:
        raise RefusedError(EXTENDED, FIRMWARE_VERSION)
