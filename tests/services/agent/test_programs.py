"""What other programs print is bytes, and firmware keeps what it wants to: neither ends an installation."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bmk.agent import AgentError
from bmk.agent.boot_order import boot_first
from bmk.agent.probe import findings
from bmk.agent.programs import output, run

pytestmark = pytest.mark.services

# Stands for efibootmgr over a directory that stands for the firmware: one file for each entry, `order`, and `full`.
EFIBOOTMGR = """\
#!{python}
import pathlib, sys
place, words = pathlib.Path({place!r}), sys.argv[1:]
with (place / "calls").open("a") as calls:
    calls.write(" ".join(words) + "\\n")
order = (place / "order").read_text().split()
if "--create" in words:
    if (place / "full").exists():
        sys.exit("Could not prepare Boot variable: No space left on device")
    (place / "Boot0009").write_text(words[words.index("--label") + 1])
    order.insert(0, "0009")
elif "--delete-bootnum" in words:
    old = words[words.index("--bootnum") + 1]
    (place / f"Boot{{old}}").unlink()
    order.remove(old)
(place / "order").write_text(" ".join(order))
if not words:
    print("BootOrder: " + ",".join(order), flush=True)
    for entry in sorted(place.glob("Boot*")):
        sys.stdout.buffer.write(entry.name.encode() + b"* " + entry.read_bytes() + b"\\tHD(2)\\n")
"""


@pytest.fixture
def firmware(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With an entry of an earlier installation, and the one of a CSM, whose text is in nobody's encoding."""
    place, programs = tmp_path / "firmware", tmp_path / "bin"
    place.mkdir()
    programs.mkdir()
    (place / "Boot0001").write_bytes(b"bmk")
    (place / "Boot0002").write_bytes(b"BBS(HD,B\xfcro,0x0)")
    (place / "order").write_text("0002 0001")
    script = programs / "efibootmgr"
    script.write_text(EFIBOOTMGR.format(python=sys.executable, place=str(place)))
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return place


def test_our_entry_is_first_and_the_only_one_of_ours(firmware: Path) -> None:
    """The old entry goes after the new one is there, and bytes that are no text stand in nobody's way."""
    made = boot_first("/dev/vda", 2)
    assert (made.labels, made.problem) == (["bmk", r"BBS(HD,B\xfcro,0x0)"], "")
    calls = (firmware / "calls").read_text()
    assert 0 < calls.index("--create") < calls.index("--delete-bootnum")
    assert not (firmware / "Boot0001").exists()


def test_a_full_nvram_keeps_what_it_has(firmware: Path) -> None:
    """No room for a new entry: the old ones are all still there, and the reason is told and not raised."""
    (firmware / "full").touch()
    made = boot_first("/dev/vda", 2)
    assert "No space left on device" in made.problem
    assert (firmware / "order").read_text() == "0002 0001"
    assert (firmware / "Boot0001").exists()


def test_a_firmware_that_forgets_the_order_is_told(firmware: Path) -> None:
    """It said yes and starts something else first."""
    (firmware / "order").unlink()
    (firmware / "order").symlink_to("/dev/null")
    assert boot_first("/dev/vda", 2).problem


def test_a_machine_without_the_tool_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that is not there fails as one that ends with an error."""
    monkeypatch.setenv("PATH", "/nowhere")
    assert "efibootmgr" in boot_first("/dev/vda", 2).problem


def test_output_is_bytes() -> None:
    """What is no UTF-8 stays to be seen, on stdout and in the reason of a failure."""
    assert output("printf", r"B\374ro") == r"B\xfcro"
    assert run("sh", "-c", r"printf 'B\374ro' >&2; exit 3").reason == r"B\xfcro"
    with pytest.raises(AgentError) as failed:
        output("sh", "-c", r"printf 'B\374ro' >&2; exit 3")
    assert failed.value.why == r"B\xfcro"


def test_an_old_disk_in_another_encoding_is_described(tmp_path: Path) -> None:
    """Label and directory are called B\\xfcro, in Latin-1: a person's data, told in plain characters."""
    name, tree, disk = os.fsdecode(b"B\xfcro"), tmp_path / "tree", tmp_path / "disk"
    (tree / name).mkdir(parents=True)
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-L", name, "-d", tree, disk, "8M"], check=True)
    found = findings(str(disk), [])
    assert [one.foreign for one in found] == [True]
    assert found[0].what.isprintable()
