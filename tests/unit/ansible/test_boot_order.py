"""The task that puts back what UEFI boots first, run by a shell with an efibootmgr that says what a real one said."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from bmk.document import read_document

PLAYBOOK = Path(__file__).resolve().parents[3] / "playbooks/configure.yml"
# of a lab machine with OVMF, after `efibootmgr --bootorder 0001,0008,0000,0007`
SAID = """\
BootCurrent: 0008
Timeout: 0 seconds
BootOrder: 0001,0008,0000,0007
Boot0000* UiApp\tFvVol(7cb8bdc9-f8eb-4f34-aaea-3ee4af6516a1)/FvFile(462caa21-7614-4503-836e-8ab6f4662331)
Boot0001* UEFI Misc Device\tPciRoot(0x0)/Pci(0x2,0x0){auto_created_boot_option}
Boot0007* EFI Internal Shell\tFvVol(7cb8bdc9-f8eb-4f34-aaea-3ee4af6516a1)/FvFile(7c04a583-9e3e-4f1c-ad65-e05268d0b4d1)
Boot0008* bmk\tHD(2,GPT,0f8c57ea-4171-423c-b507-49a8b16ac47b,0x1000,0x18000)/File(\\EFI\\debian\\shimx64.efi)
"""


def put_back(place: Path, said: str, label: str = "bmk") -> tuple[int, list[str]]:
    """Exit code, and what efibootmgr was told."""
    tasks = read_document(PLAYBOOK).value[0]["pre_tasks"]
    script = next(t for t in tasks if "UEFI" in t["name"])["ansible.builtin.shell"]
    (place / "said").write_text(said)
    program = place / "efibootmgr"
    program.write_text(f'#!/bin/sh\n[ $# -gt 0 ] && echo "$*" >> {place}/told || cat {place}/said\n')
    program.chmod(0o755)
    text = script.replace("{{ bmk_boot[bmk_host.name] | quote }}", f"'{label}'")
    done = subprocess.run(
        ["/bin/bash", "-c", text], env={"PATH": f"{place}:{os.environ['PATH']}"}, capture_output=True, check=False
    )
    told = place / "told"
    return done.returncode, told.read_text().splitlines() if told.exists() else []


def test_the_entry_of_that_name_is_first_again(tmp_path: Path) -> None:
    """The others keep their order behind it."""
    assert put_back(tmp_path, SAID) == (0, ["--quiet --bootorder 0008,0001,0000,0007"])


def test_what_was_to_be_booted_next_is_forgotten(tmp_path: Path) -> None:
    """BootNext goes before the order: it is taken out too."""
    told = put_back(tmp_path, "BootNext: 0001\n" + SAID)
    assert told == (0, ["--quiet --bootorder 0008,0001,0000,0007", "--quiet --delete-bootnext"])


@pytest.mark.parametrize("said", [SAID.replace("* bmk", "* other"), ""])
def test_without_the_entry_nothing_is_written(tmp_path: Path, said: str) -> None:
    """A firmware that lost it, or that has no entries at all: the task fails and the order stays."""
    code, told = put_back(tmp_path, said)
    assert (code != 0, told) == (True, [])
