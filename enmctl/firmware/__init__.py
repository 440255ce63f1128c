"""Firmware files, which nobody trusts."""
