"""Which machines of libvirt have a QEMU that crashed."""

from __future__ import annotations

from bmk.lab.machines.crashes import crashed

STATS = """\
Domain: 'vagrant_cp-1'
  state.state=1
  state.reason=1

Domain: 'vagrant_worker-1'
  state.state=5
  state.reason=3

Domain: 'vagrant_worker-2'
  state.state=5
  state.reason=2

"""


def test_only_a_crash_is_one() -> None:
    """Not what runs, though its reason has the same number, and not what was destroyed."""
    assert crashed(STATS) == ["vagrant_worker-1"]
    assert crashed(STATS.replace("state.reason=1", "state.reason=3")) == ["vagrant_worker-1"]


def test_no_answer_is_no_crash() -> None:
    """A libvirtd that is busy or has no machines."""
    assert crashed("") == crashed("\n") == []
