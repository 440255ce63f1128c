"""Protocols that put an image on a Nordic chip: they know a link, not a radio."""
