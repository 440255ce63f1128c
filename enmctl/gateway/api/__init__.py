"""The gateway's HTTP API: the original's seven routes, and what the command line asks of a running gateway."""
