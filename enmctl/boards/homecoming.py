"""Whether a board that was restarted is back, and what that proves: a judgement of what was seen, without a socket.

It holds what docs/firmware-contract.md, "What a read-back proves", says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from enmctl.boards.identity import Identity
from enmctl.errors import TransferError, UnsettledError
from enmctl.models import Proof

COMMIT: Final = re.compile(r"[0-9a-f]{40}")
"""What a Supervisor calls a version; text that no build makes up by itself."""

UPTIME_SLACK: Final = 2.0
"""Seconds by which a board's count of whole seconds and our clock may differ."""


class Presence(Enum):
    """What one look at a board shows."""

    DOWN = "down"
    SILENT = "silent"
    STRANGER = "stranger"
    UP = "up"


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a board: ``identity`` where it told one, ``advertised`` the version that its TXT record tells."""

    presence: Presence
    identity: Identity | None = None
    advertised: str | None = None


@dataclass(frozen=True, slots=True)
class Expectation:
    """What is known before a board goes down.

    ``mark`` is the version that the image carries, ``commit`` what the source calls it. ``before`` is what the board
    said at ``asked_at`` (seconds of the clock that ``see`` gets). ``accepted`` tells whether it said that it took all.
    """

    accepted: bool
    mark: str | None = None
    commit: str | None = None
    before: Identity | None = None
    before_version: str | None = None
    asked_at: float = 0.0

    @property
    def version(self) -> str | None:
        """The version that the new firmware will tell, where that can be known."""
        return self.mark or self.commit


@dataclass(frozen=True, slots=True)
class Settled:
    """A board is back: how that is known, and the version that it tells."""

    proof: Proof
    version: str | None = None


class Homecoming:
    """Takes looks at a board until they settle whether it is back with what it was sent.

    Args:
        name: what to call the board in errors.
        expectation: what is known before.
        grace: seconds of answering after which a board counts as back that was never seen to go down.
    """

    def __init__(self, name: str, expectation: Expectation, grace: float) -> None:
        self._name = name
        self._expected = expectation
        self._grace = grace
        self._up_since: float | None = None
        self.was_down = False
        self.last = Presence.UP

    def see(self, look: Look, now: float, *, is_last: bool = False) -> Settled | None:
        """Take one look into account.

        Args:
            look: what was seen.
            now: seconds of any steady clock.
            is_last: nobody will look again, so a board that answers counts as back.

        Raises:
            TransferError: the board is back with what it ran before.
            UnsettledError: it is back, and runs neither what it ran nor what it was sent, or that cannot be told; or
                its uptime shows at the end that it never left.
        """
        self.last = look.presence
        if look.presence is not Presence.UP:
            self._up_since = None
            self.was_down = self.was_down or look.presence is Presence.DOWN
            return None
        self._up_since = now if self._up_since is None else self._up_since
        has_started = self._has_started_since(look.identity, now)
        self.was_down = self.was_down or bool(has_started)
        version = look.identity.version if look.identity is not None else look.advertised
        expected = self._expected
        if version is not None and version == expected.version and version != expected.before_version:
            return Settled(Proof.VERSION_READ_BACK, version)
        if has_started is False:
            if is_last:
                raise self._not_restarted("runs since before it was to restart")
            return None
        has_waited = is_last or now - self._up_since >= self._grace
        if not has_waited and not (self.was_down and self._may_be_judged(look)):
            return None
        version = look.identity.version if look.identity is not None else None
        if version is not None and self._is_wrong(version):
            raise self._another(version)
        if self.was_down and expected.accepted:
            return Settled(Proof.CHECK_AND_RETURN, version)
        if self.was_down or expected.accepted:
            return Settled(Proof.RETURN_ALONE, version)
        raise self._not_restarted("did not say that it took what it got, and was not seen to restart")

    def missed(self, seconds: float) -> UnsettledError:
        """The error for a board that did not come back within so many seconds."""
        how, remedy = {
            Presence.SILENT: ("takes connections and answers nothing", "switch it off and on"),
            Presence.STRANGER: ("has lost its address to another board", "wait until it is heard again"),
        }.get(self.last, ("did not come back", "look at it: it may need power, its network, or a flash over USB"))
        return UnsettledError(f"{self._name} {how}, {seconds:g} s after its restart", remedy=remedy, reason="no-return")

    def _has_started_since(self, identity: Identity | None, now: float) -> bool | None:
        """Whether its uptimes show a start since it was asked before; None where they show neither."""
        before = self._expected.before
        if identity is None or identity.uptime is None or before is None or before.uptime is None:
            return None
        started, started_before = now - identity.uptime, self._expected.asked_at - before.uptime
        if started > started_before + UPTIME_SLACK:
            return True
        return False if started < self._expected.asked_at - UPTIME_SLACK else None

    def _not_restarted(self, how: str) -> UnsettledError:
        return UnsettledError(
            f"{self._name} {how}",
            remedy="it is looked at again; switch it off and on if it stays, and have its firmware keep GET /id",
            reason="no-restart",
        )

    def _may_be_judged(self, look: Look) -> bool:
        """Whether a board that was down and answers has said all that it will: its own word, or nothing at all.

        An advertised version may be from before it went down, and be renewed any moment. It can prove success; where it
        stays the same, it proves nothing.
        """
        return look.identity is not None or look.advertised is None or self._expected.version is None

    def _is_wrong(self, version: str) -> bool:
        """Whether this version shows that the new firmware does not run.

        A mark in the image is what the new firmware says. Without one, only two commits can be compared: other texts
        are the builder's own, and the new build may have kept the old one's.
        """
        if self._expected.mark is not None:
            return version != self._expected.mark
        commit = self._expected.commit
        if commit is None or version == commit:
            return False
        return COMMIT.fullmatch(version) is not None and COMMIT.fullmatch(commit) is not None

    def _another(self, version: str) -> TransferError | UnsettledError:
        expected = self._expected
        if version == expected.before_version or expected.before_version is None:
            return TransferError(
                f"{self._name} came back with {version[:12]} and not with {(expected.version or '')[:12]}",
                remedy="it is tried again; if it stays, suspect its power supply or its flash",
                reason="old-version",
            )
        return UnsettledError(
            f"{self._name} runs {version[:12]} now, neither what it ran before nor {(expected.version or '')[:12]}",
            remedy="check whether somebody else flashes it, and that the build writes its own version",
            reason="other-version",
            permanent=True,
        )
