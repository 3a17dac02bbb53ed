"""What to do about a failure that an install ramdisk reports, by the kind that it names.

The words of a ramdisk are a machine's: shown in quotation marks, never as advice. Advice is bmk's own, from this table;
`{dc}` and `{host}` are filled in. A kind is the `code` of an AgentError (bmk/agent).
"""

from __future__ import annotations

from collections.abc import Mapping

ADVICE: Mapping[str, str] = {
    "boot-server": "bmk status {dc} tells whether the boot service runs; then: bmk provision {dc} --limit {host}",
    "disk": "replace the disk, its cable or its controller, then: bmk provision {dc} --limit {host}",
    "disk-choice": "name one of its disks by serial or wwn in dc.yml, then: bmk plan {dc}",
    "firmware": "set the disk first in the BMC or firmware setup, then: bmk provision {dc} --limit {host}",
    "foreign-data": "if that may be lost: bmk provision {dc} --confirm {host}",
    "grant": "bmk grant list {dc}",
    "identity": "compare the nics of {host} in dc.yml with the machine, then: bmk provision {dc} --limit {host}",
    "image": "bmk artifacts verify names the damaged file; the disk was left unbootable",
    "image-build": "bmk artifacts build",
    "sectors": "set firmware: uefi for {host}, in its setup and in dc.yml, or another disk, then: bmk plan {dc}",
    "tpm": "switch the TPM on in the firmware's setup, or clear it there, then: bmk provision {dc} --limit {host}",
    "unproven": "look for a stranger on the boot network, then: bmk provision {dc} --limit {host}",
}


def advice(code: str, dc: str, host: str) -> str:
    """The advice for a kind of failure; "" for a kind that nobody knows."""
    return ADVICE.get(code, "").format(dc=dc, host=host)
