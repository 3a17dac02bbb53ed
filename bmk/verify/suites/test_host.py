"""What holds on every host that bmk looks after."""

from __future__ import annotations

from typing import Any

from bmk.verify.suites.record import Record


def test_it_has_converged(record: Record) -> None:
    """A converge left its records, and a manifest says nothing that has no record any more."""
    assert record.sections, "no role ever ran here: /var/lib/bmk/sections is empty"
    lost = set(record.manifest.get("sections", {})) - set(record.sections)
    assert not lost, f"in the manifest, but without a record: {', '.join(sorted(lost))}"


def test_no_unit_failed(host: Any) -> None:
    """systemd knows of no unit that failed."""
    failed = host.check_output("systemctl list-units --state=failed --plain --no-legend")
    assert not failed, failed


def test_root_can_be_written_and_has_room(host: Any) -> None:
    """Neither full nor remounted read-only."""
    said = host.check_output(
        "df -P / | awk 'NR==2 {print $5}'; touch /var/lib/bmk/.verify && rm /var/lib/bmk/.verify && echo wrote || true"
    ).split()
    assert int(said[0].rstrip("%")) < 95, f"{said[0]} of the root file system are used"
    assert said[1:] == ["wrote"], "nothing can be written below /var/lib/bmk"


def test_nobody_but_root_is_root(host: Any) -> None:
    """One account has the number 0."""
    assert host.check_output("awk -F: '$3 == 0 {print $1}' /etc/passwd") == "root"


def test_nobody_is_without_a_password(host: Any) -> None:
    """No account can be entered with an empty password."""
    open_to_all = host.check_output("awk -F: '$2 == \"\" {print $1}' /etc/shadow")
    assert not open_to_all, open_to_all
