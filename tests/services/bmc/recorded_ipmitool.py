"""What stands in for ipmitool before a recorded BMC: it says what was recorded, and keeps power and boot flags."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
WITH_VALUE = ("-I", "-C", "-H", "-p", "-U", "-f", "-N", "-R", "-L")
DEVICES = {"pxe": 0x04, "disk": 0x08, "none": 0x00}


def main(words: list[str]) -> int:
    command, known = _command(words), json.loads((HERE / "shape.json").read_text())
    state_file = HERE / "state.json"
    state = json.loads(state_file.read_text()) if state_file.exists() else {"power": "on", "flags": "0000000000"}
    answer = _say(command, known, state)
    state_file.write_text(json.dumps(state))
    if isinstance(answer, str):
        sys.stdout.write(answer + "\n")
        return 0
    sys.stderr.write(answer["stderr"] + "\n")
    return 1


def _command(words: list[str]) -> list[str]:
    """Without the options that every command has."""
    left = list(words)
    while left and left[0].startswith("-"):
        del left[: 2 if left[0] in WITH_VALUE else 1]
    return left


def _say(command: list[str], known: dict[str, Any], state: dict[str, str]) -> Any:
    text = " ".join(command)
    if text in known:
        return known[text]
    if text.startswith("chassis power"):
        return _power(command[2], state)
    if text.startswith("chassis bootdev"):
        efi = 0x20 if "options=efiboot" in command else 0
        device = DEVICES[command[2]]
        state["flags"] = f"{0x80 | efi if device else 0:02x}{device:02x}000000"
        return f"Set Boot Device to {command[2]}"
    if text == "chassis bootparam get 5":
        return f"Boot parameter version: 1\nBoot parameter 5 is valid/unlocked\nBoot parameter data: {state['flags']}"
    if text.startswith("sel writeraw"):
        log = bytes.fromhex("".join(known.get("sel", [])))
        if log:
            Path(command[2]).write_bytes(log)
        return "" if log else "SEL has no entries"
    if text == "sol activate":
        sys.stdout.write("[SOL Session operational.  Use ~? for help]\nlogin: ")
        sys.stdout.flush()
        time.sleep(60)  # it ends when it is killed, as ipmitool does
    known_raw = {"raw 0x00 0x08 0x03 0x08": "", "sol deactivate": ""}
    return known_raw.get(text, {"stderr": f"Invalid command: {text}"})


def _power(order: str, state: dict[str, str]) -> str:
    state["power"] = {"on": "on", "off": "off", "soft": "off"}.get(order, state["power"])
    return f"Chassis Power is {state['power']}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
