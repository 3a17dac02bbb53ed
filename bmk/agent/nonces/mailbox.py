"""What the deployer left in the BMC's boot initiator mailbox, read through the machine's own door to its BMC (KCS).

The mailbox is parameter 7 of IPMI's system boot options: five blocks of 16 bytes, the first three a vendor's number.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import subprocess
import time
from array import array
from contextlib import suppress
from pathlib import Path

DEVICE = Path("/dev/ipmi0")
BLOCKS, BLOCK, VENDOR = 5, 16, 3  # blocks of a mailbox, bytes of a block, bytes of the vendor's number before the data
SIZE = BLOCKS * BLOCK
DRIVERS = ("ipmi_devintf", "ipmi_si")  # the second is not there without a BMC
MOMENT = 5.0  # seconds until a BMC that answered the driver has its device

_SEND, _RECEIVE = 0x8028690D, 0xC030690B  # IPMICTL_SEND_COMMAND, IPMICTL_RECEIVE_MSG_TRUNC on 64-bit kernels
_BMC = struct.pack("ihBx", 0x0C, 0xF, 0)  # the system interface, its channel, LUN 0
_CHASSIS, _GET_BOOT_OPTIONS, _MAILBOX = 0x00, 0x09, 7
_REQUEST, _ANSWER = "PIlBBHP", "iPIlBBHP"  # struct ipmi_req, struct ipmi_recv
_LONGEST = 272  # bytes of an answer: IPMI_MAX_MSG_LENGTH


def read(seconds: float = 20.0) -> bytes | None:
    """The 77 bytes after the vendor's number. None: no BMC, none that answers within `seconds`, or an empty mailbox."""
    end = time.monotonic() + seconds
    with suppress(OSError, subprocess.TimeoutExpired):
        if not DEVICE.exists():
            _load_drivers(end)
        device = os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            return content(b"".join(_block(device, number, end) for number in range(BLOCKS)))
        finally:
            os.close(device)
    return None


def content(mailbox: bytes) -> bytes | None:
    """What a mailbox holds for us. None: a block is missing, or all is zero. Pure."""
    data = mailbox[VENDOR:SIZE]
    return data if len(mailbox) >= SIZE and any(data) else None


def block_of(answer: bytes, number: int) -> bytes:
    """The block in an answer to Get System Boot Options; b"" when the BMC refused or answered something else. Pure."""
    said = bytes([0, 1, _MAILBOX, number])  # completed, version of the parameter, which one and valid, which block
    return answer[len(said) :][:BLOCK] if answer.startswith(said) else b""


def _load_drivers(end: float) -> None:
    """A BMC that is silent keeps modprobe busy for minutes: it is left to itself then."""
    drivers = [subprocess.Popen(["modprobe", "-q", driver]) for driver in DRIVERS]
    found = all(driver.wait(max(0.0, end - time.monotonic())) == 0 for driver in drivers)
    end = min(end, time.monotonic() + MOMENT)
    while found and not DEVICE.exists() and time.monotonic() < end:
        time.sleep(0.05)


def _block(device: int, number: int, end: float) -> bytes:
    _send(device, number, bytes([_MAILBOX, number, 0]))
    poll = select.poll()
    poll.register(device, select.POLLIN)
    while (left := end - time.monotonic()) > 0 and poll.poll(left * 1000):
        told, answer = _receive(device)
        if told == number:
            return block_of(answer, number)
    return b""


def _send(device: int, number: int, data: bytes) -> None:
    """The kernel takes addresses of memory; an array tells its own."""
    address, message = array("B", _BMC), array("B", data)
    where, what = address.buffer_info()[0], message.buffer_info()[0]
    request = struct.pack(_REQUEST, where, len(_BMC), number, _CHASSIS, _GET_BOOT_OPTIONS, len(data), what)
    fcntl.ioctl(device, _SEND, request)


def _receive(device: int) -> tuple[int, bytes]:
    """Number of the request that is answered, and the answer."""
    address, message = array("B", bytes(64)), array("B", bytes(_LONGEST))
    where, what = address.buffer_info()[0], message.buffer_info()[0]
    receive = bytearray(struct.pack(_ANSWER, 0, where, len(address), 0, 0, 0, _LONGEST, what))
    fcntl.ioctl(device, _RECEIVE, receive)
    _, _, _, number, _, _, length, _ = struct.unpack(_ANSWER, receive)
    return number, bytes(message[:length])
