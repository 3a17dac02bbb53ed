"""iPXE scripts: install under a grant, the local disk, or a refusal that prints a notice and boots the local disk."""

from __future__ import annotations

from bmk.boot.decide import Decision, Install
from bmk.boot.grants import Grant

KERNEL, INITRD, IMAGE = "vmlinuz", "initrd.img", "image.zst"  # names below /install/<grant>/

# BIOS: INT 13h drive 0x80, without writing a table for it into memory. UEFI: a status other than 0, because firmware
# takes "success" of a boot entry as the end of the boot order and shows its menu.
_LOCAL = """\
:local
echo bmk: booting the local disk
iseq ${platform} efi && exit 1 ||
sanboot --no-describe --drive 0x80 || exit 1
"""


def script(decision: Decision, host: str, url: str, committed: str = "") -> str:
    """The script that carries out a decision. `url` is the boot server's, without a slash at its end; `committed`: what
    the ramdisk is to know of the grant's nonce beforehand, where the boot network carries it.

    A machine that is not installed gets the same text for every reason: a reason would help an attacker.
    """
    if isinstance(decision, Install):
        return _install(decision.grant, host, url, committed)
    return f"#!ipxe\necho bmk: {host}: nothing to install now, bmk why tells the reason\ngoto local\n{_LOCAL}"


def discover(url: str) -> str:
    """The first script of every machine: it asks again with the machine's identity. `netX`: the NIC that booted."""
    query = "mac=${netX/mac}&uuid=${uuid}&serial=${serial:uristring}&platform=${platform}"
    return f"#!ipxe\nchain --replace --autofree {url}/boot/ipxe?{query} || goto local\n{_LOCAL}"


def _install(grant: Grant, host: str, url: str, committed: str) -> str:
    base = f"{url}/install/{grant.id}"
    # EFI kernels find their ramdisk by the name on their command line; BIOS ones do not mind it.
    ours = f"bmk.url={url} bmk.grant={grant.id} bmk.attest={grant.attest}"
    ours += f" bmk.nonce={committed}" if committed else ""
    # The NIC that booted, as every network boot program says it: 01-52-54-00-aa-bb-cc.
    arguments = f"initrd={INITRD} {ours} BOOTIF=01-${{netX/mac:hexhyp}} console=ttyS0,115200 console=tty0"
    return (
        f"#!ipxe\necho bmk: installing {host}\n"
        f"kernel {base}/{KERNEL} {arguments} || goto local\n"
        f"initrd {base}/{INITRD} || goto local\n"
        f"boot || goto local\n{_LOCAL}"
    )
