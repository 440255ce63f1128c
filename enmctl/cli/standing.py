"""How the gateway stands, running or not: what ``enmctl status`` tells."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enmctl.cli.durations import spell
from enmctl.cli.views import STATES, clock, state_of
from enmctl.errors import EnmError, GatewayError, StoreError
from enmctl.gateway import lock_file
from enmctl.gateway.at_work import gateway_at_work
from enmctl.gateway.claiming import fleet_named
from enmctl.models import GatewayStatus, Radio
from enmctl.settings import FLEET

if TYPE_CHECKING:
    from enmctl.settings import Settings

SOURCE_LIMIT = 3.0
"""Seconds in which a source answers whoever only wants to know whether it is there."""

OURS = "enmctl "
"""How an update lock of a gateway begins; what follows is an id that its database knows."""


def standing(settings: Settings) -> dict[str, Any]:
    """All facts as JSON. What cannot be found out is None, with its reason in ``problems``."""
    problems: list[str] = []
    gateway = _gateway(settings, problems)
    summary: Mapping[str, Any] = gateway.pop("summary")
    target, until = _stored_status(settings, problems)
    devices = _devices(settings, problems)
    return {
        "gateway": gateway,
        "current_status": summary.get("currentStatus"),
        "target_status": summary.get("targetStatus") or target,
        "paused_until": until,
        "paused_by": summary.get("pausedBy"),
        "source": _source_of(settings, summary) if summary else _ask_source(settings),
        "database": str(settings.database),
        "assets_directory": summary.get("assetsDirectory", str(settings.assets_directory)),
        "update_lock": summary["updateLock"] if "updateLock" in summary else foreign_lock(settings),
        "radios": summary.get("radios"),
        "hotspot": summary.get("hotspot"),
        "boards": _board_counts(summary.get("boards")),
        "devices": devices if devices is None else {**devices, "statuses": summary.get("devices")},
        "problems": problems,
    }


def worded(facts: Mapping[str, Any]) -> dict[str, object]:
    """The same for people, by what each line is called."""
    gateway, source, devices = facts["gateway"], facts["source"], facts["devices"]
    return {
        "gateway": _gateway_words(gateway),
        "status": _status_words(facts),
        "HTTP API": gateway["api"],
        "source": _source_words(source),
        "database": facts["database"],
        "assets": facts["assets_directory"],
        "update lock": f"somebody else holds {facts['update_lock']}: transfers wait"
        if facts["update_lock"]
        else "nobody else holds it",
        "radios": _radio_words(facts["radios"]) if facts["radios"] else None,
        "hotspot": _hotspot_words(facts["hotspot"]) if facts["hotspot"] else None,
        "boards": _count_words(facts["boards"]) if facts["boards"] else None,
        "devices": _device_words(devices) if devices else None,
        "problem": "; ".join(facts["problems"]) or None,
    }


def _gateway(settings: Settings, problems: list[str]) -> dict[str, Any]:
    facts: dict[str, Any] = {"running": False, "pid": None, "started_at": None, "api": None, "summary": {}}
    try:
        at_work = gateway_at_work(settings)
    except StoreError as error:
        problems.append(str(error))
        return {**facts, "running": None}
    if at_work is None:
        return facts
    found, client = at_work
    facts |= {"running": True, "pid": found.pid, "started_at": found.started_at, "api": found.api_address}
    if client is not None:
        try:
            facts["summary"] = client.summary()
        except (EnmError, GatewayError) as error:
            problems.append(str(error))
    return facts


def _stored_status(settings: Settings, problems: list[str]) -> tuple[GatewayStatus, float | None]:
    """What was asked for last, and until when a pause lasts; a pause whose time is over is none."""
    from enmctl.store.reading import read_meta

    try:
        if read_meta(settings.database, "target_status") != GatewayStatus.PAUSED:
            return GatewayStatus.RUNNING, None
        text = read_meta(settings.database, "paused_until")
    except StoreError as error:
        problems.append(str(error))
        return GatewayStatus.RUNNING, None
    until = None if text is None else float(text)
    if until is not None and until <= time.time():
        return GatewayStatus.RUNNING, None
    return GatewayStatus.PAUSED, until


def _devices(settings: Settings, problems: list[str]) -> dict[str, Any] | None:
    from enmctl.store.reading import read_devices

    try:
        devices = read_devices(settings.database)
    except StoreError as error:
        if str(error) not in problems:
            problems.append(str(error))
        return None
    states = Counter(map(state_of, devices))
    return {"total": len(devices), "states": {state: states[state] for state in STATES if states[state]}}


def _board_counts(counts: Mapping[str, int] | None) -> dict[str, int] | None:
    """How many boards the gateway hears, and works on."""
    if counts is None:
        return None
    return {"heard": counts.get("heard", 0), "online": counts.get("online", 0), "in_hand": counts.get("inHand", 0)}


def _source_of(settings: Settings, summary: Mapping[str, Any]) -> dict[str, Any]:
    """The source as the running gateway sees it."""
    told = summary.get("source") or {}
    problem = told.get("problem")
    return {
        "name": told.get("name"),
        "address": told.get("address") or _address(settings),
        "heard": bool(told.get("heard")),
        "reachable": bool(told.get("heard")) and problem is None,
        "problem": problem,
    }


def _ask_source(settings: Settings) -> dict[str, Any]:
    """The source as it shows itself now, where no gateway runs."""
    import asyncio

    reachable, problem = False, None
    try:
        if settings.source == FLEET:
            fleet_named(settings)
        reachable = asyncio.run(_is_reachable(settings))
    except TimeoutError:
        problem = f"it does not answer within {SOURCE_LIMIT:g} s"
    except EnmError as error:
        problem = str(error)
    return {"name": settings.source, "address": _address(settings), "reachable": reachable, "problem": problem}


async def _is_reachable(settings: Settings) -> bool:
    import asyncio

    from enmctl.boards.installed import board_types
    from enmctl.sources.installed import open_source

    async with asyncio.timeout(SOURCE_LIMIT), open_source(settings, board_types()) as source:
        return await source.reachable()


def _address(settings: Settings) -> str | None:
    if settings.fleet_file is not None and settings.source == FLEET:
        return str(settings.fleet_file)
    return settings.supervisor_address if settings.source == "supervisor" else None


def foreign_lock(settings: Settings) -> str | None:
    """The update lock that somebody else holds, as far as it can be told without the gateway."""
    for path in (settings.lock_file, settings.balena_lock_file):
        if _is_foreign(path):
            return str(path)
    return None


def _is_foreign(path: Path) -> bool:
    return lock_file.is_there(path) and not lock_file.read(path).startswith(OURS)


def _gateway_words(gateway: Mapping[str, Any]) -> str:
    if gateway["running"] is None:
        return "not known"
    if not gateway["running"]:
        return "does not run here; start it with enmctl run"
    since = gateway["started_at"]
    age = "" if since is None else f", since {clock(since)} ({spell(max(0, round(time.time() - since)))})"
    return f"runs as process {gateway['pid']}{age}" if gateway["pid"] else "runs"


def _source_words(source: Mapping[str, Any]) -> str:
    place = f"{source['name']} at {source['address']}" if source["address"] else f"{source['name']}"
    if source["name"] == FLEET and source["problem"]:
        return f"{place}, broken: {source['problem']}" + (
            "; the last good one stays in force" if source.get("heard") else ""
        )
    if source["reachable"]:
        return f"{place}, reachable"
    return f"{place}, not reachable" + (f": {source['problem']}" if source["problem"] else "")


def _status_words(facts: Mapping[str, Any]) -> str:
    current, target = facts["current_status"], facts["target_status"]
    until = f" until {clock(facts['paused_until'])}" if facts["paused_until"] else ""
    if current is None and facts["gateway"]["running"] is not False:
        return "not known"
    if current is None:
        return f"the next run starts paused{until}" if target == GatewayStatus.PAUSED else "not running"
    if current != target:
        return f"{current}, and soon {target}{until}"
    by = f" by {facts['paused_by']}" if facts["paused_by"] else ""
    return f"{current}{by}{until}" if current == GatewayStatus.PAUSED else f"{current}"


def _radio_words(radios: Mapping[str, str | None]) -> str:
    """Each radio that boards are looked for on, and why one cannot be used."""
    names = {Radio.WIFI: "Wi-Fi", Radio.BLUETOOTH: "Bluetooth"}
    return "; ".join(
        f"{names[Radio(radio)]} is listened on" if problem is None else f"{names[Radio(radio)]}: {problem}"
        for radio, problem in sorted(radios.items())
    )


def _hotspot_words(hotspot: Mapping[str, Any]) -> str:
    if hotspot["up"]:
        at = f" ({hotspot['address']})" if hotspot["address"] else ""
        return f"{hotspot['ssid']} is up on {hotspot['interface']}{at}"
    if hotspot["problem"]:
        return f"down: {hotspot['problem']}"
    if not hotspot["enabled"]:
        return "switched off (ENM_HOTSPOT=off)"
    return "coming up" if hotspot["wanted"] else "down, for nothing needs it"


def _count_words(counts: Mapping[str, Any]) -> str:
    return f"{counts['heard']} heard, {counts['online']} online, {counts['in_hand']} being worked on"


def _device_words(devices: Mapping[str, Any]) -> str:
    parts = [f"{count} {STATES[state]}" for state, count in devices["states"].items()]
    parts += [f"{count} {status}" for status, count in (devices["statuses"] or {}).items()]
    return f"{devices['total']}" + (f": {', '.join(parts)}" if parts else "")
