"""What the sensors of IPMI say and how bad it is, as data: IPMI 2.0, tables 42-2 and 42-3. A BMC sends numbers only.

Each row lists its events by offset, from 0 on. `!` before one: something broke, or stopped what ran. `~`: it may, or
it works with less. `-`: the offset is reserved. Anything else tells of routine, or of the end of a trouble.
"""

from __future__ import annotations

from bmk.bmc.protocol import Severity

Event = tuple[str, Severity]  # what happened in words, and how bad that is

THRESHOLD, SENSOR_SPECIFIC = 0x01, 0x6F

# Table 42-2, by event type
_GENERIC = {
    0x01: """~Lower Non-critical going low; Lower Non-critical going high; !Lower Critical going low;
        Lower Critical going high; !Lower Non-recoverable going low; Lower Non-recoverable going high;
        Upper Non-critical going low; ~Upper Non-critical going high; Upper Critical going low;
        !Upper Critical going high; Upper Non-recoverable going low; !Upper Non-recoverable going high""",
    0x02: "Transition to Idle; Transition to Active; Transition to Busy",
    0x03: "State Deasserted; State Asserted",
    0x04: "Predictive Failure Deasserted; ~Predictive Failure Asserted",
    0x05: "Limit Not Exceeded; ~Limit Exceeded",
    0x06: "Performance Met; ~Performance Lags",
    0x07: """Transition to OK; ~Transition to Non-critical from OK; !Transition to Critical from less severe;
        !Transition to Non-recoverable from less severe; ~Transition to Non-critical from more severe;
        !Transition to Critical from Non-recoverable; !Transition to Non-recoverable; Monitor; Informational""",
    0x08: "Device Absent; Device Present",
    0x09: "Device Disabled; Device Enabled",
    0x0A: """Transition to Running; Transition to In Test; Transition to Power Off; Transition to On Line;
        Transition to Off Line; Transition to Off Duty; ~Transition to Degraded; Transition to Power Save;
        !Install Error""",
    0x0B: """Fully Redundant; !Redundancy Lost; ~Redundancy Degraded;
        ~Non-Redundant: Sufficient from Redundant; ~Non-Redundant: Sufficient from Insufficient;
        !Non-Redundant: Insufficient Resources; ~Redundancy Degraded from Fully Redundant;
        ~Redundancy Degraded from Non-Redundant""",
    0x0C: "D0 Power State; D1 Power State; D2 Power State; D3 Power State",
}

# Table 42-3, by sensor type: its name, and its own events
_SENSORS = {
    0x01: ("Temperature", ""),
    0x02: ("Voltage", ""),
    0x03: ("Current", ""),
    0x04: ("Fan", ""),
    0x05: (
        "Physical Security",
        """~General Chassis intrusion; ~Drive Bay intrusion; ~I/O Card area intrusion; ~Processor area intrusion;
        ~System unplugged from LAN; ~Unauthorized dock; ~FAN area intrusion""",
    ),
    0x06: (
        "Platform Security",
        """~Front Panel Lockout violation attempted; ~Pre-boot password violation - user password;
        ~Pre-boot password violation - setup password; ~Pre-boot password violation - network boot password;
        ~Other pre-boot password violation; ~Out-of-band access password violation""",
    ),
    0x07: (
        "Processor",
        """!IERR; !Thermal Trip; !FRB1/BIST failure; !FRB2/Hang in POST failure; !FRB3/Processor startup/init failure;
        !Configuration Error; !SM BIOS Uncorrectable CPU-complex Error; Presence detected; ~Disabled;
        Terminator presence detected; ~Throttled; !Uncorrectable machine check exception;
        ~Correctable machine check error""",
    ),
    0x08: (
        "Power Supply",
        """Presence detected; !Failure detected; ~Predictive failure; !Power Supply AC lost;
        !AC lost or out-of-range; !AC out-of-range, but present; !Config Error; Power Supply Inactive""",
    ),
    0x09: (
        "Power Unit",
        """Power off/down; Power cycle; !240VA power down; ~Interlock power down; !AC lost;
        !Soft-power control failure; !Failure detected; ~Predictive failure""",
    ),
    0x0A: ("Cooling Device", ""),
    0x0B: ("Other Units-based Sensor", ""),
    0x0C: (
        "Memory",
        """~Correctable ECC; !Uncorrectable ECC; !Parity; !Memory Scrub Failed; ~Memory Device Disabled;
        ~Correctable ECC logging limit reached; Presence Detected; !Configuration Error; Spare; ~Throttled;
        !Critical Overtemperature""",
    ),
    0x0D: (
        "Drive Slot",
        """Drive Present; !Drive Fault; ~Predictive Failure; Hot Spare; Parity Check In Progress; !In Critical Array;
        !In Failed Array; Rebuild In Progress; ~Rebuild Aborted""",
    ),
    0x0E: ("POST Memory Resize", ""),
    0x0F: ("System Firmware", "!Error; !Hang; Progress"),
    0x10: (
        "Event Logging Disabled",
        """~Correctable memory error logging disabled; Event logging disabled; Log area reset/cleared;
        ~All event logging disabled; ~Log full; ~Log almost full; ~Correctable machine check error logging disabled""",
    ),
    0x11: (
        "Watchdog 1",
        """!BIOS Reset; !OS Reset; !OS Shut Down; !OS Power Down; !OS Power Cycle; ~OS NMI/Diag Interrupt;
        ~OS Expired; ~OS pre-timeout Interrupt""",
    ),
    0x12: (
        "System Event",
        """System Reconfigured; OEM System boot event; !Undetermined system hardware failure;
        Entry added to auxiliary log; PEF Action; Timestamp Clock Sync""",
    ),
    0x13: (
        "Critical Interrupt",
        """~NMI/Diag Interrupt; !Bus Timeout; !I/O Channel check NMI; !Software NMI; !PCI PERR; !PCI SERR;
        !EISA failsafe timeout; ~Bus Correctable error; !Bus Uncorrectable error; !Fatal NMI; !Bus Fatal Error;
        ~Bus Degraded""",
    ),
    0x14: (
        "Button",
        """Power Button pressed; Sleep Button pressed; Reset Button pressed; FRU Latch open;
        FRU service request button pressed""",
    ),
    0x15: ("Module/Board", ""),
    0x16: ("Microcontroller", ""),
    0x17: ("Add-in Card", ""),
    0x18: ("Chassis", ""),
    0x19: ("Chip Set", "!Soft Power Control Failure; !Thermal Trip"),
    0x1A: ("Other FRU", ""),
    0x1B: ("Cable/Interconnect", "Connected; !Config Error"),
    0x1C: ("Terminator", ""),
    0x1D: (
        "System Boot Initiated",
        """Initiated by power up; Initiated by hard reset; Initiated by warm reset; User requested PXE boot;
        Automatic boot to diagnostic; OS initiated hard reset; OS initiated warm reset; System Restart""",
    ),
    0x1E: (
        "Boot Error",
        """!No bootable media; ~Non-bootable disk in drive; ~PXE server not found; !Invalid boot sector;
        ~Timeout waiting for selection""",
    ),
    0x1F: (
        "OS Boot",
        """A: boot completed; C: boot completed; PXE boot completed; Diagnostic boot completed; CD-ROM boot completed;
        ROM boot completed; boot completed - device not specified; Installation started; Installation completed;
        ~Installation aborted; !Installation failed""",
    ),
    0x20: (
        "OS Stop/Shutdown",
        """!Error during system startup; !Run-time critical stop; OS graceful stop; OS graceful shutdown;
        PEF initiated soft shutdown; ~Agent not responding""",
    ),
    0x21: (
        "Slot/Connector",
        """!Fault Status; Identify Status; Device Installed; Ready for Device Installation; Ready for Device Removal;
        Slot Power is Off; Device Removal Request; Interlock; ~Slot is Disabled; Spare Device""",
    ),
    0x22: (
        "System ACPI Power State",
        """S0/G0: working; S1: sleeping, context kept; S2: sleeping, context lost; S3: sleeping, context lost;
        S4: non-volatile sleep; S5/G2: soft-off; S4/S5: soft-off; G3: mechanical off; Sleeping in S1/S2/S3 state;
        G1: sleeping; S5: entered by override; Legacy ON state; Legacy OFF state; -; Unknown""",
    ),
    0x23: (
        "Watchdog 2",
        """~Timer expired; !Hard reset; !Power down; !Power cycle; -; -; -; -; ~Timer interrupt""",
    ),
    0x24: (
        "Platform Alert",
        """Platform generated page; Platform generated LAN alert; Platform Event Trap generated;
        Platform generated SNMP trap, OEM format""",
    ),
    0x25: ("Entity Presence", "Present; Absent; ~Disabled"),
    0x26: ("Monitor ASIC", ""),
    0x27: ("LAN", "~Heartbeat Lost; Heartbeat"),
    0x28: (
        "Management Subsystem Health",
        """~Sensor access degraded or unavailable; ~Controller access degraded or unavailable; !Controller off-line;
        !Controller unavailable; ~Sensor failure; !FRU failure""",
    ),
    0x29: ("Battery", "~Low; !Failed; Presence Detected"),
    0x2A: ("Session Audit", "Session Activated; Session Deactivated; Invalid Username or Password; Account Disabled"),
    0x2B: (
        "Version Change",
        """Hardware change detected; Firmware or software change detected; ~Hardware incompatibility detected;
        ~Firmware or software incompatibility detected; ~Invalid or unsupported hardware version;
        ~Invalid or unsupported firmware or software version; Hardware change success;
        Firmware or software change success""",
    ),
    0x2C: (
        "FRU State",
        """Not Installed; Inactive; Activation Requested; Activation in Progress; Active; Deactivation Requested;
        Deactivation in Progress; !Communication lost""",
    ),
}

# A state without words of its own means trouble where it is that of a part which has one trouble to tell of.
_PARTS = frozenset({0x01, 0x02, 0x03, 0x04, 0x07, 0x08, 0x0A, 0x0C, 0x0D})
_LOSSES: dict[tuple[int, int], Severity] = {(0x03, 1): "Critical", (0x08, 0): "Warning"}
_MARKS: dict[str, Severity] = {"!": "Critical", "~": "Warning"}


def severity_of(words: str) -> Severity:
    """Of a generic event in its own words, as Redfish's entries of sensors have them."""
    return _BY_WORDS.get(_bare(words), "OK")


def sensor_name(sensor: int) -> str:
    """Of a sensor type; those from 0xc0 on are the makers' own."""
    name, _ = _SENSORS.get(sensor, ("", ""))
    return name or ("OEM sensor" if sensor >= 0xC0 else f"Sensor type {sensor:#04x}")


def meaning(sensor: int, kind: int, offset: int) -> Event:
    """Of an event of this type (`kind`) at this offset, of a sensor of this type. A maker's own means nothing to us."""
    text = _SENSORS.get(sensor, ("", ""))[1] if kind == SENSOR_SPECIFIC else _GENERIC.get(kind, "")
    events = _events(text)
    event = events[offset] if offset < len(events) else ""
    if event in ("", "-"):
        return f"Event type {kind:#04x}, offset {offset:#x}", "OK"
    loss = _LOSSES.get((kind, offset)) if sensor in _PARTS else None
    return event.lstrip("!~"), loss or _MARKS.get(event[0], "OK")


def _events(row: str) -> list[str]:
    return [" ".join(event.split()) for event in row.split(";")]


def _bare(words: str) -> str:
    return "".join(filter(str.isalpha, words.lower()))


_BY_WORDS = {_bare(event): _MARKS.get(event[0], "OK") for row in _GENERIC.values() for event in _events(row)}
