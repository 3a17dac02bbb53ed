"""Machines of the lab: virtual (QEMU), system containers, simulated; their consoles, TPMs and firmware variables."""
