"""The gateway's own radios."""
