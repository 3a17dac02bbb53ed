"""The ground that a node stands on: packages, kernel, sshd."""

from __future__ import annotations

from typing import Any

from bmk.hardening.controls.baseline import KERNEL, NETWORK, PODS, SSHD
from bmk.verify.suites.kinds import (  # noqa: F401 - tests of this suite
    nothing,
    roots,
    test_files,
    test_kernel_modules,
    test_packages,
    test_sysctls,
    test_units,
    tight,
)
from bmk.verify.suites.record import Record

# what the kubelet insists on (protectKernelDefaults) and what many containers need
KUBELET = {
    "vm.overcommit_memory": "1",
    "vm.panic_on_oom": "0",
    "kernel.panic": "10",
    "kernel.panic_on_oops": "1",
    "kernel.keys.root_maxkeys": "1000000",
    "kernel.keys.root_maxbytes": "25000000",
    "fs.inotify.max_user_instances": "8192",
    "fs.inotify.max_user_watches": "524288",
}


def test_it_sets_what_kubernetes_and_hardening_need(record: Record) -> None:
    """None of the settings that are needed was dropped from the role, or given another value."""
    wanted = {**KUBELET, **NETWORK, **KERNEL, **PODS}
    there = {item["name"]: item["desired"]["value"] for item in record.items("node_baseline", "sysctls")}
    nothing([f"{n} is set to {there.get(n)}, not {v}" for n, v in wanted.items() if there.get(n) != v])


def test_settings_survive_a_reboot(host: Any, record: Record) -> None:
    """What systemd-sysctl will set at the next start is what is wanted now: no later file says otherwise."""
    lines = host.check_output("/usr/lib/systemd/systemd-sysctl --cat-config").splitlines()
    pairs = [line.partition("=") for line in lines if "=" in line and not line.lstrip().startswith(("#", ";"))]
    last = {name.strip(" -").replace("/", "."): " ".join(value.split()) for name, _, value in pairs}
    wanted = {item["name"]: item["desired"]["value"] for item in record.items("node_baseline", "sysctls")}
    nothing([f"{n} will be {last.get(n)}, not {v}" for n, v in wanted.items() if last.get(n) != v])


def test_sshd_takes_keys_only(host: Any) -> None:
    """The settings in force, with everything that sshd includes."""
    said = host.check_output("sshd -T -C user=root,host=x,addr=127.0.0.1")
    seen = dict(line.split(None, 1) for line in said.splitlines() if " " in line)
    nothing([f"{key} is {seen.get(key)}" for key, good in SSHD.items() if seen.get(key) not in good])


def test_no_swap(host: Any) -> None:
    """The kubelet counts on memory that is memory."""
    swaps = host.check_output("tail -n +2 /proc/swaps")
    assert not swaps, swaps


def test_its_files_are_tight(host: Any) -> None:
    """Nobody but root writes what decides about the node, or reads its records."""
    settings = ("/etc/modules-load.d/bmk.conf", "/etc/sysctl.d/90-bmk.conf")
    private = roots(0o700, "/var/lib/bmk", "/var/log/bmk") | roots(0o600, "/etc/ssh/sshd_config.d/20-bmk.conf")
    tight(host, {**roots(0o755, "/etc/bmk"), **roots(0o644, *settings), **private})
