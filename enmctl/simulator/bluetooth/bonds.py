"""The keys of bonds: kept in memory, told to whoever wants to know, and made by real pairing."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from bumble.keys import KeyStore, PairingKeys
from bumble.pairing import PairingConfig, PairingDelegate

from enmctl.simulator.nordic.contract import Bonding

Passkey = Callable[[], Awaitable[int | None]]
"""Asks a person for the six digits that a board shows; None where nobody will say."""

ENCRYPTION_KEY_ALONE = PairingDelegate.KeyDistribution.DISTRIBUTE_ENCRYPTION_KEY
"""Addresses stay as they are, so no identities are exchanged."""

LEAST_PASSKEY, PASSKEYS = 100_000, 900_000
"""bumble 0.0.236 takes a passkey of 0 for none, so no board shows one with zeros in front."""

CERTAINLY_WRONG = 1

Bonds = dict[str, dict[str, Any]]
"""Keys by the peer's address, as plain JSON values."""


class BondKeys(KeyStore):
    """Bonds by the peer's address.

    Args:
        bonds: what there is at first.

    Attributes:
        watchers: called with an address and its keys, None for no more, whenever a bond is made or dropped here.
    """

    def __init__(self, bonds: Mapping[str, dict[str, Any]] | None = None) -> None:
        self._keys = {peer: PairingKeys.from_dict(keys) for peer, keys in (bonds or {}).items()}
        self.watchers: list[Callable[[str, dict[str, Any] | None], None]] = []

    def __contains__(self, peer: object) -> bool:
        return peer in self._keys

    def is_authenticated(self, peer: str) -> bool:
        """Whether a person vouched for the bond."""
        keys = self._keys.get(peer)
        return keys is not None and keys.ltk is not None and keys.ltk.authenticated

    def to_dict(self) -> Bonds:
        """All bonds, as plain JSON values."""
        return {peer: keys.to_dict() for peer, keys in self._keys.items()}

    def put(self, peer: str, keys: Mapping[str, Any] | None) -> None:
        """Take a bond over, or drop it, without telling anybody."""
        self._keys.pop(peer, None)
        if keys is not None:
            self._keys[peer] = PairingKeys.from_dict(dict(keys))

    def forget(self, peer: str) -> bool:
        """Drop a bond; False where there was none."""
        was_there = self._keys.pop(peer, None) is not None
        if was_there:
            self._tell(peer, None)
        return was_there

    def clear(self) -> None:
        """Drop all bonds."""
        for peer in list(self._keys):
            self.forget(peer)

    def _tell(self, peer: str, keys: dict[str, Any] | None) -> None:
        for watcher in list(self.watchers):
            watcher(peer, keys)

    async def delete(self, name: str) -> None:
        """See KeyStore."""
        self.forget(name)

    async def update(self, name: str, keys: PairingKeys) -> None:
        """See KeyStore."""
        self._keys[name] = keys
        self._tell(name, keys.to_dict())

    async def get(self, name: str) -> PairingKeys | None:
        """See KeyStore."""
        return self._keys.get(name)

    async def get_all(self) -> list[tuple[str, PairingKeys]]:
        """See KeyStore."""
        return list(self._keys.items())


class _BoardDelegate(PairingDelegate):
    """A board while it pairs: it has a display for six digits, or nothing."""

    def __init__(self, bonding: Bonding, shows: Callable[[str], None]) -> None:
        capabilities = PairingDelegate.IoCapability
        super().__init__(
            io_capability=capabilities.DISPLAY_OUTPUT_ONLY
            if bonding is Bonding.PASSKEY
            else capabilities.NO_OUTPUT_NO_INPUT,
            local_initiator_key_distribution=ENCRYPTION_KEY_ALONE,
            local_responder_key_distribution=ENCRYPTION_KEY_ALONE,
        )
        self._bonding = bonding
        self._shows = shows

    async def accept(self) -> bool:
        """Whether it pairs at all."""
        return self._bonding is not Bonding.NONE

    async def generate_passkey(self) -> int:
        """The digits that the other side must give."""
        return LEAST_PASSKEY + secrets.randbelow(PASSKEYS)

    async def display_number(self, number: int, digits: int) -> None:
        """Show them."""
        self._shows(f"{number:0{digits}}")


class _CentralDelegate(PairingDelegate):
    """The machine while it pairs: a person may be there to be asked."""

    def __init__(self, passkey: Passkey | None) -> None:
        super().__init__(
            io_capability=PairingDelegate.IoCapability.DISPLAY_OUTPUT_AND_KEYBOARD_INPUT,
            local_initiator_key_distribution=ENCRYPTION_KEY_ALONE,
            local_responder_key_distribution=ENCRYPTION_KEY_ALONE,
        )
        self._passkey = passkey

    async def get_number(self) -> int | None:
        """What the person says."""
        number = None if self._passkey is None else await self._passkey()
        return number or (None if number is None else CERTAINLY_WRONG)


def board_pairing(bonding: Bonding, shows: Callable[[str], None]) -> PairingConfig:
    """How a board pairs; ``shows`` gets the six digits that it shows."""
    return PairingConfig(
        sc=True, mitm=bonding is Bonding.PASSKEY, bonding=True, delegate=_BoardDelegate(bonding, shows)
    )


def central_pairing(passkey: Passkey | None) -> PairingConfig:
    """How the machine pairs."""
    return PairingConfig(sc=True, mitm=True, bonding=True, delegate=_CentralDelegate(passkey))
