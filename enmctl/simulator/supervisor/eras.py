"""What differed between the Supervisor's versions (timeline of the proxyvisor, v2.6 to v14.7)."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Era:
    """How the Supervisors of some years behave where they differ.

    ``throttled``: the apply loop turns all the time and asks each device at most once per throttle; else hooks go out
    once per poll of the target state. ``applies_targets`` is false for the last ones, whose target state never reached
    dependent devices: no hooks, no applications, no target commit.
    """

    version: str
    name_field: str
    default_device_type: str
    first_status: str | None
    uuid_bytes: int
    hook_app_id_is_text: bool
    device_id_is_text: bool
    answers_new_row: bool
    throttled: bool
    ping_needs_key: bool
    takes_bearer: bool
    applies_targets: bool


_V11 = Era(
    version="11.5.2",
    name_field="device_name",
    default_device_type="generic",
    first_status=None,
    uuid_bytes=31,
    hook_app_id_is_text=True,
    device_id_is_text=False,
    answers_new_row=True,
    throttled=True,
    ping_needs_key=False,
    takes_bearer=False,
    applies_targets=True,
)

ERAS = {
    "v6": Era(
        version="6.6.0",
        name_field="name",
        default_device_type="generic-amd64",
        first_status="Provisioned",
        uuid_bytes=31,
        hook_app_id_is_text=False,
        device_id_is_text=True,
        answers_new_row=False,
        throttled=False,
        ping_needs_key=True,
        takes_bearer=False,
        applies_targets=True,
    ),
    "v11": _V11,
    "v12": replace(_V11, version="12.11.0", uuid_bytes=16, takes_bearer=True),
    "v14": replace(_V11, version="14.7.1", uuid_bytes=16, takes_bearer=True, applies_targets=False),
}
"""By name. ``v12`` is kinder than the real one (from v11.14.1 on, none was applied): with the newer access alone."""
