"""The gateway's own Wi-Fi network for boards, raised through NetworkManager.

::

    hotspot               one network: raised, watched, taken down
    ├── profile           what it is to be: its name, password and channel, as NetworkManager's settings
    ├── choosing          which interface it goes on
    ├── reasons           what NetworkManager's numbers and errors mean, and what helps
    └── network_manager   what is asked of NetworkManager
    leases                who has an address there
"""
