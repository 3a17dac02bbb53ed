"""Sends one DHCP message as firmware or a relay would and prints the answer as JSON. Runs inside a test's namespace.

discover.py {"mac": "52:..", "options": {"60": "<hex>"}, "giaddr": "0.0.0.0", "to": "255.255.255.255", "port": 67}
"""

import json
import os
import socket
import struct
import sys
from typing import Any

MAGIC = b"\x63\x82\x53\x63"


def packet(asked: dict[str, Any]) -> bytes:
    mac, options, kind = asked["mac"], asked.get("options", {}), asked.get("kind", 1)
    head = struct.pack("!BBBB4sHH", 1, 1, 6, 0, os.urandom(4), 0, 0x8000)
    ciaddr, giaddr = (socket.inet_aton(asked.get(name, "0.0.0.0")) for name in ("ciaddr", "giaddr"))
    addresses = ciaddr + bytes(8) + giaddr
    hardware = bytes.fromhex(mac.replace(":", "")).ljust(16, b"\0")
    body = head + addresses + hardware + bytes(192) + MAGIC + bytes([53, 1, kind])
    for code, value in options.items():
        raw = bytes.fromhex(value)
        body += bytes([int(code), len(raw)]) + raw
    return (body + b"\xff").ljust(300, b"\0")


def parsed(data: bytes) -> dict[str, object]:
    options, at = {}, 240
    while at < len(data) and data[at] != 255:
        if data[at] == 0:
            at += 1
            continue
        options[str(data[at])] = data[at + 2 : at + 2 + data[at + 1]].hex()
        at += 2 + data[at + 1]
    text = [data[44:108].split(b"\0")[0].decode(), data[108:236].split(b"\0")[0].decode()]
    addresses = [socket.inet_ntoa(data[start : start + 4]) for start in (16, 20)]
    return {"yiaddr": addresses[0], "siaddr": addresses[1], "sname": text[0], "file": text[1], "options": options}


def main() -> None:
    asked = json.loads(sys.argv[1])
    giaddr = asked.get("giaddr", "0.0.0.0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        if giaddr == "0.0.0.0":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, asked.get("nic", "eth0").encode())
        sock.bind(("", 68 if giaddr == "0.0.0.0" else 67))
        sock.settimeout(asked.get("seconds", 5))
        sock.sendto(packet(asked), (asked.get("to", "255.255.255.255"), asked.get("port", 67)))
        try:
            sys.stdout.write(json.dumps(parsed(sock.recv(2048))))
        except TimeoutError:
            sys.stdout.write("null")


main()
