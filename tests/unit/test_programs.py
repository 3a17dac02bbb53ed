"""Programs of this machine: where they are looked for, and what is said of those that are not there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bmk import programs
from bmk.datacenter.hosts import programs_of
from bmk.datacenter.load import load_datacenter
from bmk.errors import Exit, PreflightRefused


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with one directory in PATH, which is empty, and no other one."""
    monkeypatch.setattr(programs, "_SBIN", (str(tmp_path / "sbin"),))
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


def put(path: Path) -> str:
    path.parent.mkdir(exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


def test_what_path_leaves_out_is_found(bare: Path) -> None:
    """In an sbin directory; what PATH names itself, or is a file, comes first."""
    assert programs.find("nginx") is None
    server = put(bare / "sbin/nginx")
    assert programs.find("nginx") == server
    assert programs.find(server) == server
    assert programs.find(str(bare / "sbin/other")) is None
    assert programs.find("nginx") != put(bare / "bin/nginx") == programs.find("nginx")


def test_what_is_started_looks_there_too(bare: Path) -> None:
    """A child finds what its parent found; twice is once."""
    put(bare / "sbin/nginx")
    for _ in range(2):
        programs.look_in_sbin()
        assert os.environ["PATH"] == f"{bare}/bin:{bare}/sbin"
    subprocess.run(["nginx"], check=True)


def test_all_that_is_missing_is_named_at_once_with_its_packages(bare: Path) -> None:
    """One message, one command, the exit code of a machine that cannot."""
    put(bare / "sbin/dnsmasq")
    with pytest.raises(PreflightRefused) as caught:
        programs.require(["dnsmasq", "nginx", "sfdisk", "mmd", "mcopy", "/usr/lib/no-such-file"])
    assert caught.value.what == "not installed: /usr/lib/no-such-file, mcopy, mmd, nginx, sfdisk"
    assert caught.value.why == f"looked in {bare}/bin:{bare}/sbin"
    assert caught.value.hint == "scripts/setup, or as root: apt-get install fdisk mtools nginx-light"
    assert caught.value.exit_code == Exit.REFUSED


def test_a_lab_takes_what_its_machines_are_made_of() -> None:
    """Virtual machines need no containers' programs, Redfish no IPMI; a real data center starts no servers here."""
    assert {"qemu-system-x86_64", "ipmi_sim", "ipmitool", "nginx", "ssh"} <= set(programs_of(load_datacenter("lab")))
    containers = set(programs_of(load_datacenter("lab-ha")))
    assert "pivot_root" in containers
    assert not containers & {"qemu-system-x86_64", "swtpm", "vagrant"}
    assert not set(programs_of(load_datacenter("example"))) & {"nginx", "ip", "qemu-system-x86_64"}
