"""What molecule's steps may change."""

from __future__ import annotations

from bmk.ansible.tally import judge, step_of


def test_a_change_of_a_strict_step_is_named() -> None:
    """Host, task and items of a change that nobody allowed are in the fault."""
    assert judge(["worker-1: kubelet : Write files /etc/x"], []) == [
        "worker-1: kubelet : Write files /etc/x changed something"
    ]


def test_a_waived_change_is_none() -> None:
    """A waiver lets its own task change, and no other."""
    changed = ["worker-1: kubelet : Write files", "worker-1: kubelet : Run"]
    assert judge(changed, ["kubelet : Write files"]) == ["worker-1: kubelet : Run changed something"]


def test_a_waiver_that_nothing_needs_is_a_fault() -> None:
    """Waivers do not outlive their reason."""
    assert judge([], ["kubelet : Write files"]) == ["the waiver of 'kubelet : Write files' is not needed"]


def test_steps_have_molecules_names() -> None:
    """What is strict depends on whether the host had converged before."""
    assert step_of("/x/converge.yml", check=True, converged=False) == "check"
    assert step_of("/x/converge.yml", check=True, converged=True) == "check again"
    assert step_of("/x/converge.yml", check=False, converged=True) == "idempotence"
    assert step_of("/x/side_effect.yml", check=False, converged=True) == "side effect"
