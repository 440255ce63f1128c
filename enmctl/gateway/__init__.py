"""The gateway: what is decided, and what is done about it."""
