"""Every control of a node, broken on a real one: exactly that id fails; one `bmk provision` puts everything right."""

from __future__ import annotations

import pytest

from bmk.hardening.assess import assess_node
from bmk.hardening.controls import CONTROLS, SYSCTLS
from bmk.hardening.evidence import NodeEvidence, evidence, node_script
from tests.containers.hardening.breaks import GROUPS, MACHINE, NODE, PODS, Break, C, W, flags
from tests.containers.hardening.conftest import Place, until

pytestmark = pytest.mark.containers
ROLES = {C: "control_plane", W: "worker"}


def failing(place: Place, host: str) -> set[str]:
    """What does not hold on a host, by the same look and the same judges as `bmk hardening`."""
    said = place.ssh(host, "sh -s", send=node_script(SYSCTLS).encode())
    node = NodeEvidence(host, ROLES[host], evidence(said.splitlines()))
    return {r.control for r in assess_node(node, ()) if r.state not in ("pass", "na")}


def test_every_control_of_a_node_is_broken_somewhere() -> None:
    """A new control needs a break; those of the cluster's API have theirs in test_api.py.

    What a container does not have (MACHINE) is broken on a machine (tests/machines/planted).
    """
    nodes = {control.id for control in CONTROLS if control.requirement.scope != "cluster"}
    broken = [b.control for b in (*NODE, *MACHINE)] + [*PODS, *GROUPS, "audit-policy"]
    assert sorted(broken) == sorted(nodes)


@pytest.mark.parametrize("one", NODE, ids=[b.control for b in NODE])
def test_what_is_broken_fails_alone(place: Place, one: Break) -> None:
    """Somebody changes one thing on a host; exactly the control that is about it fails more than before."""
    before = failing(place, one.host)
    place.ssh(one.host, one.script)
    assert failing(place, one.host) - before == {one.control}


def test_an_emptied_audit_policy_fails(place: Place) -> None:
    """Without rules nothing is written; that is one fault, also when the rules were wrong before."""
    path = "/etc/kubernetes/bmk/audit-policy.yaml"
    before = failing(place, C)
    place.ssh(C, f"""cp -p {path} /run/before; echo '{{"kind": "Policy"}}' > {path}; touch -r /run/before {path}""")
    after = failing(place, C)
    assert after - before == {"audit-policy"}
    assert before - after == {"audit-concerns"}


def test_flags_of_what_runs_fail_exactly_their_controls(place: Place) -> None:
    """Manifests of all static pods edited: what runs now fails the controls of these flags, and nothing else."""
    before = failing(place, C)
    place.ssh(C, flags(PODS))
    until(lambda: failing(place, C) - before == {*PODS, *GROUPS}, 180)


def test_provision_puts_everything_right(place: Place) -> None:
    """All of it broken at once, so that not even the API server starts: one run of the command repairs both hosts.

    What does not run any more is unknown in the report, not failing; word of what fails is enough for provision.
    """
    over = {"audit-concerns", "api-files-live"}  # no rules are left, and the API server began again
    for host in ROLES:
        assert {b.control for b in NODE if b.host == host} - over <= failing(place, host)
    place.lab.bmk("hardening", code=None)
    place.lab.bmk("provision", "--yes")
    counts = place.report(0)["counts"]
    assert (counts["fail"], counts["unknown"], counts["waived"]) == (0, 0, 0)
