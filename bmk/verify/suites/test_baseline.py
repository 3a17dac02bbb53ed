"""The ground that a node stands on."""

from __future__ import annotations

from typing import Any


def test_it_has_converged(manifest: Any) -> None:
    """The last converge left its manifest."""
    assert manifest


def test_packages(host: Any, manifest: Any) -> None:
    """What roles install is installed."""
    out = host.check_output("dpkg-query -W -f '${db:Status-Abbrev}${Package}\\n'")
    there = {line[3:].strip() for line in out.splitlines() if line[1:2] == "i"}
    assert {item["name"] for item in manifest.get("packages", ())} <= there


def test_units(host: Any, manifest: Any) -> None:
    """What roles start runs, and comes back after a reboot."""
    wanted = [i for i in manifest.get("units", ()) if (i.get("state") or "started") == "started"]
    for item in wanted:
        unit = host.service(item["name"].removesuffix(".service"))
        assert unit.is_running, item["name"]
        assert unit.is_enabled, item["name"]


def test_no_unit_failed(host: Any) -> None:
    """systemd knows of no unit that failed."""
    assert host.check_output("systemctl list-units --state=failed --plain --no-legend") == ""


def test_kernel_settings(host: Any, manifest: Any) -> None:
    """Settings are live, not only on disk."""
    for item in manifest.get("sysctls", ()):
        if item.get("own", True):
            value = host.check_output("cat /proc/sys/%s", item["name"].replace(".", "/"))
            assert " ".join(value.split()) == item["desired"]["value"], item["name"]


def test_no_swap(host: Any) -> None:
    """The kubelet counts on memory that is memory."""
    assert host.check_output("tail -n +2 /proc/swaps") == ""


def test_root_can_be_written_and_has_room(host: Any) -> None:
    """Neither full nor remounted read-only."""
    used = host.check_output("df -P / | awk 'NR==2 {print $5}'")
    assert int(used.rstrip("%")) < 95
    assert host.run("touch /var/lib/bmk/.verify && rm /var/lib/bmk/.verify").rc == 0


def test_nobody_but_root_is_root(host: Any) -> None:
    """One account has the number 0, and no account has an empty password."""
    assert host.check_output("awk -F: '$3 == 0 {print $1}' /etc/passwd") == "root"
    assert host.check_output("awk -F: '$2 == \"\" {print $1}' /etc/shadow") == ""
