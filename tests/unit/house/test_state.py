"""Who may ask the environment where the state is: whoever opens a data center; others get `DataCenter.state`."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

# Processes and clients of a lab know its name only: its file may be gone when it is taken down.
ALLOWED = {
    "bmk/datacenter/load.py",
    "bmk/lab/bmc/ipmi.py",
    "bmk/lab/bmc/redfish.py",
    "bmk/lab/client.py",
    "bmk/lab/host/launcher.py",
}


def test_only_who_opens_a_data_center_asks_where_its_state_is() -> None:
    """A directory that is handed in can be another one in a test, a second data center, a service's own."""
    asks = re.compile(r"\bstate_dir\(|BMK_STATE_DIR\"\]|environ.*BMK_STATE_DIR")
    found = {str(p.relative_to(ROOT)) for p in (ROOT / "bmk").rglob("*.py") if asks.search(p.read_text())}
    assert found - {"bmk/paths.py"} == ALLOWED
