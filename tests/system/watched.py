"""Runs a command in this network namespace, and counts what goes over any interface but loopback meanwhile.

watched.py COMMAND [ARGUMENT]…: prints, as JSON, the command's exit code and talk, and the frames that were seen; then
sends one datagram to an address outside, so that whoever reads it knows that a frame would have been seen.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading

EVERY_PROTOCOL = 0x0003
"""``ETH_P_ALL`` of ``linux/if_ether.h``."""

OUTSIDE = ("198.51.100.7", 9)
"""An address for documentation (RFC 5737) and the discard port."""

LIMIT = 60.0
"""Seconds that the command may take."""


class Watch:
    """Counts frames on all interfaces but loopback, until closed."""

    def __init__(self) -> None:
        self.frames: list[str] = []
        self.seen = threading.Event()
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EVERY_PROTOCOL))
        self._socket.settimeout(0.1)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._ended.is_set():
            try:
                frame, (interface, *_) = self._socket.recvfrom(2048)
            except TimeoutError:
                continue
            if interface != "lo":
                self.frames.append(f"{interface} {frame[:64].hex()}")
                self.seen.set()

    def close(self) -> None:
        """Look no more."""
        self._ended.set()
        self._thread.join()
        self._socket.close()


def main() -> None:
    watch = Watch()
    done = subprocess.run(sys.argv[1:], capture_output=True, text=True, timeout=LIMIT, check=False)
    frames = list(watch.frames)
    watch.seen.clear()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outgoing:
        outgoing.sendto(b"seen", OUTSIDE)
    would_be_seen = watch.seen.wait(10)
    watch.close()
    told = {"code": done.returncode, "talk": done.stderr, "output": done.stdout, "frames": frames}
    sys.stdout.write(json.dumps({**told, "would_be_seen": would_be_seen}))


if __name__ == "__main__":
    main()
