"""A Bluetooth radio that is not there: simulated boards as GATT servers on bumble's link, driven through bleak's API.

Nothing outside this package imports bumble, which comes with the extra ``simulator``.
"""
