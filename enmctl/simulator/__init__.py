"""Boards, a radio and a Supervisor that are not there."""
