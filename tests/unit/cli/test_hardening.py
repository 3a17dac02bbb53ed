"""`bmk hardening` before it asks anybody."""

from __future__ import annotations

from typing import Any

from bmk.errors import Exit
from bmk.paths import content_dir


def test_a_control_that_does_not_exist_is_refused(cli: Any) -> None:
    """A typo in --control is told with the nearest id, and no host is asked."""
    said = cli("hardening", "lab", "--control", "runtime-socket-grp")
    assert said.code == Exit.CONFIG
    assert "did you mean 'runtime-socket-grpc'" in said.err
    assert said.out == ""


def test_a_waiver_with_a_typo_stops_before_anything_is_asked(cli: Any, tmp_path: Any) -> None:
    """The file is checked first: file, line and column of the waiver, and nothing else happens."""

    lab = content_dir() / "inventories/lab"
    for name in ("dc.yml", "addresses.yml"):
        (tmp_path / name).write_text((lab / name).read_text())
    (tmp_path / "dc.yml").open("a").write("  waivers:\n    - {control: runtime-no-cru, reason: it is a test}\n")
    said = cli("hardening", str(tmp_path / "dc.yml"))
    assert said.code == Exit.CONFIG
    assert "there is no control 'runtime-no-cru'" in said.err
    assert "did you mean 'runtime-no-criu'" in said.err
