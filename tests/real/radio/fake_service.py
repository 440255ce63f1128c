"""A service on a private bus that shows objects and does nothing: enough for whoever only looks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from dbus_fast import Message, MessageType
from dbus_fast.aio import MessageBus


@asynccontextmanager
async def showing(address: str, name: str, objects: Mapping[str, Mapping[str, Any]]) -> AsyncGenerator[None]:
    """Show these objects under this name for a while."""

    def answer(message: Message) -> Message | None:
        if message.message_type is MessageType.METHOD_CALL and message.member == "GetManagedObjects":
            return Message.new_method_return(message, "a{oa{sa{sv}}}", [objects])
        return None

    bus = await MessageBus(bus_address=address).connect()
    bus.add_message_handler(answer)
    await bus.request_name(name)
    try:
        yield
    finally:
        bus.disconnect()
        await asyncio.gather(bus.wait_for_disconnect(), return_exceptions=True)  # type: ignore[no-untyped-call]
