"""What all boards have in common whose firmware has a web server: a driver for one type of them is a subclass.

They are found by their name, updated by the form of ``/update`` that the HTTPUpdateServer of ESP8266 and ESP32 has, and
known again by ``GET /id``. What their firmware is asked is in docs/firmware-contract.md; one that keeps none of it but
the name and the update, as the original's sample, is looked after all the same. A subclass says what firmware is for
its boards; see docs/add-a-board.md.
"""

from __future__ import annotations

import asyncio
import json
from abc import abstractmethod
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import ClassVar, Final
from weakref import WeakValueDictionary

from enmctl.boards import naming
from enmctl.boards.access import SECRETS, Access
from enmctl.boards.connection import Connection, Place, ask
from enmctl.boards.contract import Answer, Applied, Firmware, Heard
from enmctl.boards.fit import check_fit
from enmctl.boards.homecoming import Expectation, Homecoming, Look, Presence, Settled
from enmctl.boards.http_answer import HttpAnswer
from enmctl.boards.http_update import Ending, Limits, Sent, send_image
from enmctl.boards.identity import PAGE, Identity, read_identity
from enmctl.boards.surroundings import Surroundings
from enmctl.boards.update_answer import METHOD_NOT_ALLOWED, NOT_FOUND, UNAUTHORIZED, refuse
from enmctl.errors import BoardError, BusyError, OfflineError, RefusedError
from enmctl.models import BoardKey, DiscoveredBoard, Radio, Stage, Step
from enmctl.settings import Settings

JSON_MOST: Final = 4096
"""Bytes of config or environment that a board takes (docs/firmware-contract.md)."""

RESTART: Final = "/restart"
IDENTIFY: Final = "/identify"
CONFIG: Final = "/config"
ENVIRONMENT: Final = "/env"

NO_SUCH_PAGE: Final = frozenset({*range(300, 400), NOT_FOUND, METHOD_NOT_ALLOWED})
"""What firmware answers that has no such page: some send every browser that is lost to their first one."""


class HttpBoard:
    """Keeps ``enmctl.boards.contract.BoardDriver`` for boards with a web server.

    A board may come back under another address: ``surroundings.locate`` tells where it is heard now.

    Attributes:
        surroundings: filled in by whoever runs the driver.
    """

    board_type: ClassVar[str]
    radio: ClassVar[Radio] = Radio.WIFI

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.surroundings = Surroundings()
        self._asked: WeakValueDictionary[BoardKey, asyncio.Lock] = WeakValueDictionary()
        self._worked_on: set[BoardKey] = set()

    def recognise(self, heard: Heard) -> DiscoveredBoard | None:
        """The board behind an instance called ``<type>_<application>_<id>``; case does not matter in the type."""
        return naming.recognise(heard, self.board_type)

    def at_address(self, address: str) -> DiscoveredBoard | None:
        """The board at ``http://[user@]host[:port][/path]``, ``host:port`` or a bare host; see ``naming``."""
        return naming.at_address(address, self.board_type)

    @abstractmethod
    def read_firmware(self, path: Path, config: Mapping[str, str]) -> Firmware:
        """Read and check what is to be sent: a firmware file, or the folder of an unpacked asset.

        Raises:
            FirmwareError: with the reason, when it cannot be sent to any board of this type.
        """

    def version_in(self, data: bytes) -> str | None:
        """The version that an image says it is, as its board will tell it; None where no image tells."""
        del data
        return None

    def flash_needed(self, data: bytes) -> int | None:
        """Bytes of flash that an image is built for; None where no image tells."""
        del data
        return None

    async def alive(self, board: DiscoveredBoard) -> bool:
        """Whether something takes a connection there; a board that is worked on is left alone and counts as alive."""
        if board.key in self._worked_on:
            return True
        async with self._lock(board):
            try:
                connection = await Connection.open(_place(board), self._settings.probe_timeout)
            except OfflineError:
                return False
            connection.close()
            return True

    async def ask(self, board: DiscoveredBoard, config: Mapping[str, str]) -> Answer:
        """What the board says of itself; firmware without ``GET /id`` says nothing, but must have an update page.

        Raises:
            OfflineError: nothing answers.
            RefusedError: another board answers there ("wrong-board"), it wants other credentials ("wrong-password"),
                or it has no update page ("no-update-page").
            BusyError: the board is being worked on.
        """
        access = Access.of(config, board)
        self._refuse_while_worked_on(board)
        async with self._lock(board):
            identity = await self._identify_itself(board)
            if identity is None:
                await self._try_update_page(board, access)
                return Answer()
        return Answer(identity.version, identity.local_id, identity.application_id)

    async def update(
        self, board: DiscoveredBoard, firmware: Firmware, config: Mapping[str, str]
    ) -> AsyncGenerator[Step, None]:
        """Send the image, wait until the board is back, and tell how that is known; see ``BoardDriver.update``."""
        access = Access.of(config, board)
        with self._work(board):
            async with self._lock(board):
                before = await self._identify_itself(board)
                asked_at = asyncio.get_running_loop().time()
                check_fit(board, firmware, access, before, self.flash_needed(firmware.data))
                await self._try_update_page(board, access)
                yield Step(Stage.TRANSFERRING, 0, firmware.size)
                ending = Ending(accepted=False)
                async with aclosing(self._send(board, firmware, access)) as news:
                    async for item in news:
                        if isinstance(item, Sent):
                            yield Step(Stage.TRANSFERRING, item.done, firmware.size)
                        else:
                            ending = item
                yield Step(Stage.TRANSFERRING, firmware.size, firmware.size)
                yield Step(Stage.ACTIVATING, note=ending.note)
                yield Step(Stage.RETURNING)
                expectation = Expectation(
                    accepted=ending.accepted,
                    mark=self.version_in(firmware.data),
                    commit=firmware.commit,
                    before=before,
                    before_version=before.version if before is not None else board.version,
                    asked_at=asked_at,
                )
                settled = await self._return(board, expectation)
        yield Step(Stage.DONE, proof=settled.proof, version=settled.version)

    async def left_with(self, board: DiscoveredBoard) -> str:  # noqa: ARG002 - any of them
        """Nothing new: until it has all of an image, a board runs what it ran."""
        return ""

    async def restart(self, board: DiscoveredBoard, config: Mapping[str, str]) -> str:
        """Restart the board by ``POST /restart`` and wait until it is back.

        Raises:
            RefusedError: its firmware has no such page ("unsupported"), or it is another board.
            UnsettledError: it did not come back in time.
            OfflineError: nothing answers.
        """
        access = Access.of(config, board)
        with self._work(board):
            async with self._lock(board):
                before = await self._identify_itself(board)
                asked_at = asyncio.get_running_loop().time()
                try:
                    await self._post(board, access, RESTART)
                    accepted = True
                except OfflineError as error:
                    if error.reason not in ("silent", "reset"):
                        raise
                    accepted = False
                await self._return(board, Expectation(accepted=accepted, before=before, asked_at=asked_at))
        return ""

    async def identify(self, board: DiscoveredBoard, config: Mapping[str, str]) -> None:
        """Make the board show itself by ``POST /identify``.

        Raises:
            RefusedError: its firmware has no such page ("unsupported"), or it is another board.
            OfflineError: nothing answers.
            BusyError: the board is being worked on.
        """
        access = Access.of(config, board)
        self._refuse_while_worked_on(board)
        async with self._lock(board):
            await self._identify_itself(board)
            await self._post(board, access, IDENTIFY)

    async def configure(
        self,
        board: DiscoveredBoard,
        config: Mapping[str, str],
        *,
        new_config: Mapping[str, str] | None,
        new_environment: Mapping[str, str] | None,
    ) -> Applied:
        """Hand over config and environment by ``POST /config`` and ``POST /env``; firmware may lack either page.

        Raises:
            RefusedError: the board does not take what it is handed, or it is another board.
            OfflineError: nothing answers.
            BusyError: the board is being worked on.
        """
        access = Access.of(config, board)
        self._refuse_while_worked_on(board)
        async with self._lock(board):
            await self._identify_itself(board)
            return Applied(
                config=await self._hand_over(board, access, CONFIG, new_config),
                environment=await self._hand_over(board, access, ENVIRONMENT, new_environment),
            )

    def _lock(self, board: DiscoveredBoard) -> asyncio.Lock:
        """What keeps us to one connection a board."""
        return self._asked.setdefault(board.key, asyncio.Lock())

    @contextmanager
    def _work(self, board: DiscoveredBoard) -> Iterator[None]:
        self._refuse_while_worked_on(board)
        self._worked_on.add(board.key)
        try:
            yield
        finally:
            self._worked_on.discard(board.key)

    def _refuse_while_worked_on(self, board: DiscoveredBoard) -> None:
        if board.key in self._worked_on:
            raise BusyError(f"{board.name} is being worked on", remedy="wait until that is done")

    async def _identify_itself(self, board: DiscoveredBoard) -> Identity | None:
        """Who answers there, or None where its firmware does not tell.

        Raises:
            RefusedError: another board.
            OfflineError: nothing answers.
        """
        try:
            answer = await self._get(board, PAGE)
        except OfflineError as error:
            if error.reason == "reset":
                return None
            raise
        identity = read_identity(answer)
        if identity is not None and not identity.is_of(board):
            raise RefusedError(
                f"{board.name} is not there, at {_place(board)} answers {identity}",
                remedy="it is looked for again; two boards may have changed their addresses",
                reason="wrong-board",
                permanent=False,
            )
        return identity

    async def _try_update_page(self, board: DiscoveredBoard, access: Access) -> None:
        """Find out before a whole image is sent for nothing whether the board would take one.

        Raises:
            RefusedError: it has no such page, or does not take the credentials.
            OfflineError: nothing answers.
        """
        answer = await self._get(board, access.path, access.headers)
        if answer.status in (UNAUTHORIZED, NOT_FOUND):
            refuse(answer, board.name, page=access.path)

    async def _get(self, board: DiscoveredBoard, page: str, headers: Mapping[str, str] | None = None) -> HttpAnswer:
        return await self._ask(board, "GET", page, headers or {})

    async def _ask(
        self, board: DiscoveredBoard, method: str, page: str, headers: Mapping[str, str], body: bytes = b""
    ) -> HttpAnswer:
        limit = self._settings.probe_timeout
        try:
            return await ask(_place(board), method, page, limit, headers=headers, body=body)
        except OfflineError as error:
            raise _explained(board, error) from None

    async def _post(
        self, board: DiscoveredBoard, access: Access, page: str, content: Mapping[str, str] | None = None
    ) -> None:
        """Post to a page of the contract.

        Raises:
            RefusedError: the firmware has no such page ("unsupported"), or does not take what it gets.
            TransferError: it failed at it.
            OfflineError: nothing answers.
        """
        headers, body = access.headers, b""
        if content is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(dict(content), ensure_ascii=False, separators=(",", ":")).encode()
            if len(body) > JSON_MOST:
                raise RefusedError(
                    f"{page} of {board.name} takes {JSON_MOST} bytes, these are {len(body)}",
                    remedy="have fewer variables, or shorter ones",
                    reason="no-space",
                )
        answer = await self._ask(board, "POST", page, headers, body)
        if answer.status in NO_SUCH_PAGE:
            raise RefusedError(
                f"the firmware of {board.name} has no {page} (HTTP status {answer.status})",
                remedy="add it as docs/firmware-contract.md says",
                reason="unsupported",
            )
        refuse(answer, board.name, page=page)

    async def _hand_over(
        self, board: DiscoveredBoard, access: Access, page: str, content: Mapping[str, str] | None
    ) -> bool:
        if content is None:
            return False
        public = {name: value for name, value in content.items() if name not in SECRETS}
        try:
            await self._post(board, access, page, public)
        except BoardError as error:
            if error.reason != "unsupported":
                raise
            return False
        return True

    async def _send(
        self, board: DiscoveredBoard, firmware: Firmware, access: Access
    ) -> AsyncGenerator[Sent | Ending, None]:
        limits = Limits(
            connect=self._settings.connect_timeout,
            stall=self._settings.stall_timeout,
            answer=self._settings.answer_timeout,
            whole=self._settings.update_timeout,
        )
        try:
            async with aclosing(send_image(_place(board), firmware.data, access, limits, board.name)) as news:
                async for item in news:
                    yield item
        except OfflineError as error:
            raise _explained(board, error) from None

    async def _return(self, board: DiscoveredBoard, expectation: Expectation) -> Settled:
        """Wait until the board is back; each look asks it who it is."""
        loop = asyncio.get_running_loop()
        homecoming = Homecoming(board.name, expectation, self._settings.return_grace)
        deadline = loop.time() + self._settings.return_timeout
        while True:
            look = await self._look(board, expectation.before)
            now = loop.time()
            if (settled := homecoming.see(look, now, is_last=now >= deadline)) is not None:
                return settled
            if now >= deadline:
                raise homecoming.missed(self._settings.return_timeout)
            await asyncio.sleep(min(self._settings.return_probe_interval, deadline - now))

    async def _look(self, board: DiscoveredBoard, before: Identity | None) -> Look:
        """Look where the board is heard now, and where it was."""
        locate = self.surroundings.locate
        heard = locate(board.key) if locate is not None and board.application_id is not None else None
        heard = heard or board
        look = await self._look_at(heard, board, before)
        if look.presence is not Presence.UP and _place(heard) != _place(board):
            there = await self._look_at(board, board, before)
            if there.identity is not None and there.presence is Presence.UP:
                return there
        return look

    async def _look_at(self, there: DiscoveredBoard, board: DiscoveredBoard, before: Identity | None) -> Look:
        try:
            answer = await self._get(there, PAGE)
        except OfflineError as error:
            return Look(Presence.SILENT if error.reason in ("silent", "reset") else Presence.DOWN)
        except RefusedError:
            return Look(Presence.STRANGER)
        identity = read_identity(answer)
        wanted = before.local_id if board.application_id is None and before is not None else board.local_id
        is_known = board.application_id is not None or before is not None
        if identity is not None and is_known and identity.local_id != wanted:
            return Look(Presence.STRANGER)
        return Look(Presence.UP, identity, there.version)


def _place(board: DiscoveredBoard) -> Place:
    return Place(board.addresses, board.port or naming.HTTP_PORT)


def _explained(board: DiscoveredBoard, error: OfflineError) -> OfflineError:
    """The same error, with what it mostly means for this board."""
    if error.reason != "connection-refused":
        return OfflineError(f"{board.name}: {error.message}", remedy=error.remedy, reason=error.reason)
    if board.application_id is None:
        remedy = "its firmware has no web server on this port; name the port: http://host:port"
    else:
        remedy = (
            "it is advertised and does not listen, which is a known bug of the sample firmware since October 2019; "
            "flash it over USB from its commit 24f2f78 or with docs/firmware"
        )
    return OfflineError(f"{board.name}: {error.message}", remedy=remedy, reason=error.reason)
