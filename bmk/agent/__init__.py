"""The install agent: what turns a granted machine into a node. Standard library only; packed into the install ramdisk.

`install(order, hardware)` is the whole of it. `hardware` is a real machine (linux.py), a directory that a system
container boots from (directory.py), or nothing at all (simulated.py): all ask the same routes of the boot service.
"""

from bmk.agent.errors import AgentError
from bmk.agent.flow import install
from bmk.agent.hardware import Hardware
from bmk.agent.model import Disk, InstallSpec, MachineFacts, Order, Written

__all__ = ["AgentError", "Disk", "Hardware", "InstallSpec", "MachineFacts", "Order", "Written", "install"]
