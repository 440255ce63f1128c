"""``enmctl rollback``: through the running gateway, or into the database where none runs."""

from __future__ import annotations

from enmctl.cli.shell import Call
from enmctl.errors import UnknownError, UsageError
from enmctl.gateway.at_work import client_of_running
from enmctl.gateway.claiming import fleet_named
from enmctl.gateway.rolling_back import asked_for
from enmctl.store import Store


def roll_back(call: Call, word: str | None, application: str | None, *, clear: bool) -> None:
    """Have devices go back, or come forward again, and tell what came of it.

    Raises:
        UsageError: neither or both of a device and an application are named.
        UnknownError: there is none such, or nothing to go back to.
    """
    if (word is None) == (application is None):
        raise UsageError("name a device, or an application with --application", remedy="see enmctl rollback --help")
    named = word or application or ""
    client = client_of_running(call.settings)
    if client is not None:
        done = client.roll_back(named, application=application is not None, clear=clear)
    else:
        done = _in_database(call, named, is_application=application is not None, clear=clear)
    if call.output.as_json:
        call.output.document({"done": done})
        return
    for line in done:
        call.output.line(line)
    if not done:
        call.output.say(f"{named} was not rolled back")


def _in_database(call: Call, word: str, *, is_application: bool, clear: bool) -> list[str]:
    with Store.open(call.settings.database, set_aside=False) as store:
        application_id = _application_id(call, word) if is_application else None
        changes = asked_for(store.devices(), word, application_id, clear=clear)
        store.change_many([(change.device.uuid, change.columns) for change in changes])
    return [change.told for change in changes]


def _application_id(call: Call, word: str) -> int:
    """The id of an application; names are known to the running gateway, and to a fleet file.

    Raises:
        UnknownError: it is no number, and no fleet file has an application of that name.
        FleetError: the fleet file is broken.
    """
    if word.isascii() and word.isdigit():
        return int(word)
    fleet = fleet_named(call.settings)
    if fleet is not None and word in fleet.document.applications:
        return fleet.document.applications[word].id
    raise UnknownError(f"no application {word!r} is known here", remedy="name it by its id, as enmctl devices shows it")
