"""Whose a board is: the application that its firmware names, or the one that the source says.

A source that says which boards are an application's (a fleet file) has the last word: a board that it gives to nobody
is left alone, whatever its firmware names.
"""

from __future__ import annotations

from dataclasses import replace

from enmctl.models import Application, Desired, DiscoveredBoard


def claimed(board: DiscoveredBoard, desired: Desired) -> tuple[DiscoveredBoard, str]:
    """The board as its application's, with ``application_id`` None where it is nobody's, and what is wrong with that.

    A board that is named singly is taken by whoever names it; the rest by pattern, address or application.
    """
    claimants = [application for application in desired.applications.values() if application.members is not None]
    if not claimants:
        return board, ""
    takers = [each for each in claimants if _lists(each, board)] or [each for each in claimants if _takes(each, board)]
    if len(takers) == 1:
        return _given(board, takers[0].id), ""
    if takers:
        names = " and ".join(sorted(each.name for each in takers))
        return replace(board, application_id=None), f"{names} both claim it: left alone until only one does"
    named = desired.applications.get(board.application_id or 0)
    if named is not None and named.members is None:
        return board, ""
    return replace(board, application_id=None), ""


def _given(board: DiscoveredBoard, application_id: int) -> DiscoveredBoard:
    if board.application_id == application_id:
        return board
    return replace(board, application_id=application_id, named_application=board.application_id)


def _lists(application: Application, board: DiscoveredBoard) -> bool:
    members = application.members
    return members is not None and application.board_type == board.board_type and members.lists(board.local_id)


def _takes(application: Application, board: DiscoveredBoard) -> bool:
    members = application.members
    return (
        members is not None
        and application.board_type == board.board_type
        and members.takes(board.name, board.local_id, board.addresses, board.application_id)
    )
