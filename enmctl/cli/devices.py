"""The devices: list them, show one, stop looking after one, let a held one go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from enmctl.cli.shell import Call, Group, call_of, command, epilog

if TYPE_CHECKING:
    from enmctl.models import Device

app = typer.Typer(
    name="devices",
    cls=Group,
    invoke_without_command=True,
    epilog=epilog(["enmctl devices", "enmctl devices --json", "enmctl devices show holy-sunset"]),
)

Word = Annotated[
    str, typer.Argument(metavar="DEVICE", help="Its name, its board's id, its uuid, or how the uuid begins.")
]


@app.callback()
def devices(context: typer.Context) -> None:
    """List the devices and how each stands towards its target.

    With a running gateway their live status and progress too; without one, what the database remembers.
    """
    if context.invoked_subcommand is None:
        list_devices(context)


@command(app, "list", panel="Commands", examples=["enmctl devices list", "enmctl devices list --json"])
def list_devices(context: typer.Context) -> None:
    """List the devices; the same as enmctl devices alone."""
    from enmctl.cli.views import DEVICE_COLUMNS, SPARE_DEVICE_COLUMNS, device_cells, device_fields

    call = call_of(context)
    found = _devices(call)
    live = _live(call) if found else {}
    if call.output.as_json:
        call.output.document([device_fields(device, live.get(device.uuid)) for device in found])
    elif found:
        rows = (device_cells(device, live.get(device.uuid)) for device in found)
        call.output.table(DEVICE_COLUMNS, rows, spare=SPARE_DEVICE_COLUMNS)
    if not found:
        call.output.say("no device yet; a gateway makes one of every board that it finds: enmctl run")


@command(
    app, "show", panel="Commands", examples=["enmctl devices show holy-sunset", "enmctl devices show 1265892 --json"]
)
def show(context: typer.Context, word: Word) -> None:
    """Show all that is known of one device."""
    import json

    from enmctl.cli.views import STATES, device_details
    from enmctl.gateway.naming import find_device

    call = call_of(context)
    device = find_device(_devices(call), word)
    fields = device_details(device, _live(call).get(device.uuid))
    if call.output.as_json:
        call.output.document(fields)
        return
    fields["state"] = STATES[fields["state"]]
    call.output.pairs(
        {
            name.replace("_", " "): json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value
            for name, value in fields.items()
            if value not in (None, "", False)
        }
    )


@command(
    app,
    "delete",
    panel="Commands",
    examples=["enmctl devices delete holy-sunset", "enmctl devices delete 1265892 --local"],
)
def delete(
    context: typer.Context,
    word: Word,
    *,
    local: Annotated[bool, typer.Option("--local", help="Here alone, whatever the Supervisor lists.")] = False,
) -> None:
    """Stop looking after a device.

    A device belongs to the Supervisor: deleted there, it goes here by itself. One that the Supervisor still lists is
    therefore refused, with --local it is deleted here all the same. It stays deleted while its board still advertises,
    until enmctl provision or the Supervisor brings it back.
    """
    from enmctl.errors import UsageError
    from enmctl.gateway.naming import find_device

    call = call_of(context)
    device = find_device(_devices(call), word)
    if not local and _is_listed(call, device):
        raise UsageError(
            f"{_name(device)} is still listed by the Supervisor, and would stay there",
            remedy="delete it on the dashboard, and it goes here too; or here alone, with --local",
            reason="still-listed",
        )
    _delete(call, device)
    if call.output.as_json:
        call.output.document({"uuid": device.uuid, "deleted": True})
    else:
        call.output.say(f"{_name(device)} is not looked after any more; enmctl provision brings it back")


@command(app, "release", panel="Commands", examples=["enmctl devices release holy-sunset"])
def release(context: typer.Context, word: Word) -> None:
    """Let the gateway put its target back on a held device.

    A device is held that was flashed by hand with --hold.
    """
    from enmctl.gateway.naming import find_device
    from enmctl.store import Store

    call = call_of(context)
    device = find_device(_devices(call), word)
    was_held = device.held_target is not None
    if was_held:
        with Store.open(call.settings.database, set_aside=False) as store:
            store.change(device.uuid, held_target=None)
    if call.output.as_json:
        call.output.document({"uuid": device.uuid, "was_held": was_held})
    else:
        call.output.say(f"{_name(device)} {'goes back to its target' if was_held else 'is not held'}")


def _devices(call: Call) -> list[Device]:
    from enmctl.store.reading import read_devices

    devices = read_devices(call.settings.database)
    return sorted(devices, key=lambda device: (device.application_id, device.name, device.uuid))


def _name(device: Device) -> str:
    return device.name or device.local_id or device.uuid[:8]


def _live(call: Call) -> dict[str, dict[str, object]]:
    """What the running gateway says of each device, by uuid; nothing where none runs or it does not answer."""
    from enmctl.errors import GatewayError, StoreError
    from enmctl.gateway.at_work import gateway_at_work

    try:
        at_work = gateway_at_work(call.settings)
        if at_work is None or at_work[1] is None:
            return {}
        return {str(device.get("ResinUUID")): device for device in at_work[1].devices()}
    except (GatewayError, StoreError) as error:
        call.output.say(f"what follows is what the database remembers: {error.message}")
        return {}


def _is_listed(call: Call, device: Device) -> bool:
    """Whether the Supervisor still lists a device, as it says itself; a fleet file's devices are made here alone.

    Raises:
        SourceAwayError: it cannot be asked.
    """
    import asyncio

    from enmctl.cli.standing import SOURCE_LIMIT
    from enmctl.errors import SourceAwayError, SourceError
    from enmctl.settings import FLEET

    if device.unlisted or _source(call) == FLEET:
        return False
    try:
        return asyncio.run(_ask_for(call, device, SOURCE_LIMIT))
    except (SourceError, TimeoutError) as error:
        why = error.message if isinstance(error, SourceError) else f"it does not answer within {SOURCE_LIMIT:g} s"
        raise SourceAwayError(
            f"whether the Supervisor still lists {_name(device)} is not known: {why}",
            remedy="try again when it answers, or delete it here alone, with --local",
        ) from None


def _source(call: Call) -> str:
    """Where the gateway has its desired state from: the one that runs, else the one that would start here."""
    from enmctl.gateway.at_work import gateway_at_work

    at_work = gateway_at_work(call.settings)
    if at_work is None or at_work[1] is None:
        return call.settings.source
    return str(at_work[1].summary().get("source", {}).get("name"))


async def _ask_for(call: Call, device: Device, limit: float) -> bool:
    import asyncio

    from enmctl.boards.installed import board_types
    from enmctl.sources.installed import open_source

    async with asyncio.timeout(limit), open_source(call.settings, board_types()) as source:
        return await source.listed(device.uuid)


def _delete(call: Call, device: Device) -> None:
    """Stop looking after the device: through the gateway where one runs, so that it lets go at once."""
    from enmctl.gateway.at_work import client_of_running
    from enmctl.store import Store

    client = client_of_running(call.settings)
    if client is not None:
        client.delete(device.uuid)
        return
    with Store.open(call.settings.database, set_aside=False) as store:
        store.change(device.uuid, deleted=True)
