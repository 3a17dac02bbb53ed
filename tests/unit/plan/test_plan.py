"""What plans promise."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bmk.actions.provision import PROVISION
from bmk.datacenter.load import load_datacenter
from bmk.datacenter.model import DiskSelector
from bmk.errors import ConfigError, PreflightRefused
from bmk.journal.records import InstallationRecord, MembershipRecord, ProofRecord
from bmk.plan import Actual, OpenGrant, Plan, build_plan
from bmk.plan.actual import ClusterActual, Observation
from bmk.plan.disks import choose_disk
from bmk.plan.files import check_against, save_plan
from bmk.plan.show import lines

ROOT = Path(__file__).resolve().parents[3]
GOLDEN = Path(__file__).with_name("golden")
DC = load_datacenter(ROOT / "inventories" / "lab-ha" / "dc.yml")
HOSTS = list(DC.hosts)

CONVERGED = Actual(
    identity={"serial": None},
    installed=InstallationRecord(image_sha256="f" * 64),
    joined=MembershipRecord(cluster="lab-ha"),
    ready=ProofRecord(cluster="lab-ha"),
    power="on",
    ssh="ok",
    node="ready",
    converged="current",
    baseline=True,
)


def disks(*found: dict[str, Any]) -> dict[str, Any]:
    return {"disks": list(found)}


TANK = {"name": "sda", "serial": "HADISK0001", "size": 9, "holds": "ZFS tank", "foreign": True}
actuals = st.builds(
    Actual,
    identity=st.sampled_from([None, {"serial": "X"}, {"serial": "HA0001"}]),
    inspection=st.sampled_from([None, disks(TANK)]),
    installed=st.sampled_from([None, InstallationRecord(), InstallationRecord(serial="OTHER")]),
    joined=st.sampled_from([None, MembershipRecord(cluster="lab-ha")]),
    ready=st.sampled_from([None, ProofRecord(cluster="lab-ha")]),
    grant=st.sampled_from([None, OpenGrant("g", 1, False), OpenGrant("g", 1, True)]),
    power=st.sampled_from(["on", "off", "unknown"]),
    ssh=st.sampled_from(["ok", "silent", "wrong-key", "unknown"]),
    node=st.sampled_from(["ready", "not-ready", "absent", "unknown"]),
    converged=st.sampled_from(["current", "stale", "never"]),
    suspect=st.sampled_from([(), ("socket-group",)]),
)


def plan(seen: dict[str, Actual], hosts: list[str] = HOSTS, policies: Any = "current") -> Any:
    found = Observation(seen, {"lab-ha": ClusterActual(policies)})
    return build_plan(DC, PROVISION, hosts, found)


def test_plan_of_a_converged_data_center_is_empty() -> None:
    """Nothing is planned for hosts that are as the file says."""
    assert plan(dict.fromkeys(HOSTS, CONVERGED)).empty


@settings(deadline=None)
@given(seen=st.fixed_dictionaries(dict.fromkeys(HOSTS, actuals)), order=st.permutations(HOSTS))
def test_order_of_hosts_never_matters(seen: dict[str, Actual], order: list[str]) -> None:
    """The same hosts in the same state give the same plan and digest, in whatever order they were named."""
    assert plan(seen, order).digest == plan(seen).digest


@settings(deadline=None)
@given(actual=actuals)
def test_machine_that_answers_is_never_wiped_or_rebooted(actual: Actual) -> None:
    """An installed host that answers ssh with its pinned key has no change that touches power or disk."""
    changes = plan({"cp-1": actual}, ["cp-1"]).hosts[0].changes
    same = actual.installed is not None and actual.installed.serial != "OTHER"
    if actual.ssh == "ok" or same:
        assert not [c for c in changes if c.disk is not None or c.kind in ("power-install", "boot")]


@settings(deadline=None)
@given(actual=actuals)
def test_foreign_data_is_never_wiped_silently(actual: Actual) -> None:
    """Whatever would wipe a disk that holds something, or a Ready node, asks for the host's name."""
    for change in plan({"cp-1": actual}, ["cp-1"]).hosts[0].changes:
        if change.disk is not None and (change.disk.holds or actual.node == "ready"):
            assert change.confirm


@settings(deadline=None)
@given(actual=actuals)
def test_running_installation_is_waited_for(actual: Actual) -> None:
    """While a ramdisk holds the grant, no phase plans to power the machine or to boot it."""
    if actual.grant is not None and actual.grant.claimed and actual.power != "off":
        kinds = {c.kind for c in plan({"cp-1": actual}, ["cp-1"]).hosts[0].changes}
        assert not kinds & {"power-install", "boot", "wipe", "power-on"}


@settings(deadline=None)
@given(actual=actuals, policies=st.sampled_from(["current", "stale", "unknown"]))
def test_a_new_disk_needs_everything_after_it(actual: Actual, policies: str) -> None:
    """Whatever is on record of the old installation: a host with a new disk is configured, joined and verified."""
    host = plan({"worker-1": actual}, ["worker-1"], policies).hosts[0]
    if "imaging" in host.phases:
        after = host.phases[host.phases.index("imaging") :]
        assert after == ("imaging", "installed", "reachable", "configured", "joined", "verified", "baseline", "ready")


def test_saved_plan_holds_while_nothing_changed(tmp_path: Path) -> None:
    """A plan file is accepted for the same facts and names the hosts whose facts changed."""
    before, file = plan(dict.fromkeys(HOSTS, Actual())), tmp_path / "plan.json"
    save_plan(before, file)
    check_against(file, plan(dict.fromkeys(HOSTS, Actual())))
    with pytest.raises(PreflightRefused, match=r"facts changed.*worker-2"):
        check_against(file, plan({**dict.fromkeys(HOSTS, Actual()), "worker-2": CONVERGED}))


def _edited(change: Callable[[Any], object]) -> Callable[[Plan, Path], None]:
    def save(before: Plan, file: Path) -> None:
        save_plan(before, file)
        text = json.loads(file.read_text())
        change(text)
        file.write_text(json.dumps(text))

    return save


def _of_other_group(before: Plan, file: Path) -> None:
    scoped = tuple(replace(one, changes=one.changes[:0]) for one in before.scoped)
    save_plan(replace(before, scoped=scoped), file)


@pytest.mark.parametrize(
    ("save", "named"),
    [
        pytest.param(_of_other_group, "cluster lab-ha$", id="a phase of a cluster"),
        pytest.param(lambda p, f: save_plan(replace(p, scoped=()), f), "cluster lab-ha$", id="no phase of a cluster"),
        pytest.param(lambda p, f: save_plan(replace(p, source_sha256="0"), f), "the data center file$", id="file"),
        pytest.param(lambda p, f: save_plan(replace(p, action="reinstall"), f), "the command", id="action"),
        pytest.param(_edited(lambda t: t["hosts"][1]["changes"].pop()), "cp-2$", id="edited host"),
        pytest.param(_edited(lambda t: t["hosts"].pop()), "worker-2$", id="host removed"),
        pytest.param(_edited(lambda t: t["hosts"].append(t["hosts"][0])), "cp-1$", id="host twice"),
        pytest.param(_edited(lambda t: t["hosts"].reverse()), "hosts$", id="order"),
        pytest.param(_edited(lambda t: t["scoped"][0]["changes"][0].update(text="x")), "cluster lab-ha$", id="scoped"),
        pytest.param(_edited(lambda t: t.update(scoped=None)), "cluster lab-ha$", id="no list"),
        pytest.param(_edited(lambda t: t.update(digest="0")), "digest", id="digest"),
    ],
)
def test_all_that_a_plan_says_has_to_be_the_same(
    save: Callable[[Plan, Path], None], named: str, tmp_path: Path
) -> None:
    """Phases of groups, too, and the text that a person reviewed, whatever digest stands beside it."""
    file, before = tmp_path / "x.plan", plan(dict.fromkeys(HOSTS, Actual()))
    save_plan(before, file)
    check_against(file, before)
    save(before, file)
    with pytest.raises(PreflightRefused) as caught:
        check_against(file, before)
    assert re.search(named, caught.value.what)


def test_what_is_no_plan_is_refused(tmp_path: Path) -> None:
    """Another file given as a plan is a configuration error with a hint, not a traceback."""
    file = tmp_path / "x.json"
    file.write_text("[]")
    with pytest.raises(ConfigError):
        check_against(file, plan({}))


def test_unanswered_probes_do_not_change_the_digest() -> None:
    """What could not be asked is shown, but it is no part of what would be done."""
    quiet = plan({"cp-1": Actual()}, ["cp-1"])
    noisy = plan({"cp-1": Actual(trouble=("BMC: no answer",))}, ["cp-1"])
    assert quiet.digest == noisy.digest
    assert "could not look: BMC: no answer" in "\n".join(lines(noisy, DC.hosts))


def test_plan_for_people_is_as_it_was(request: Any) -> None:
    """The text of a plan: fresh, inspected with foreign data, running, off, converged."""
    lvm = {"name": "sda", "serial": "HADISK0002", "size": 8_000_000_000, "holds": "LVM2_member vg0", "foreign": True}
    held = disks(lvm)
    seen = {
        "cp-1": Actual(power="off"),
        "cp-2": Actual(identity={"serial": "HA0002"}, inspection=held, power="on"),
        "cp-3": Actual(identity={"serial": "HA0003"}, grant=OpenGrant("g", 2, True), power="on"),
        "worker-1": Actual(
            **{**{k: getattr(CONVERGED, k) for k in CONVERGED.__slots__}, "power": "off", "ssh": "silent"}
        ),
        "worker-2": CONVERGED,
    }
    text = "\n".join(lines(plan(seen, policies="unknown"), DC.hosts)) + "\n"
    golden = GOLDEN / "plan.txt"
    if not golden.exists():
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text()


def test_plan_as_json_is_versioned() -> None:
    """`-o json` carries schema, digest and one entry per host."""
    body = json.loads(json.dumps(plan({}).as_dict()))
    assert (body["schema"], len(body["digest"]), len(body["hosts"])) == (2, 64, 5)


DISKS = disks(
    {"name": "sda", "serial": "A", "wwn": "0x1", "size": 480_103_981_056, "rotational": False, "holds": ""},
    {"name": "sdb", "serial": "B", "wwn": "0x2", "size": 4_000_787_030_016, "rotational": True, "holds": "md raid"},
)


@pytest.mark.parametrize(
    ("selector", "serial"),
    [
        ({"serial": "B"}, "B"),
        ({"wwn": "0x1"}, "A"),
        ({"size": ">=1TB"}, "B"),
        ({"size": "<= 1 TB", "rotational": False}, "A"),
        ({"size": "480GB"}, "A"),
        ({}, None),
        ({"serial": "C"}, None),
    ],
)
def test_disk_is_named_only_when_exactly_one_matches(selector: dict[str, Any], serial: str | None) -> None:
    """Serial, WWN or size class choose one disk; none or several is a problem in words."""
    choice = choose_disk(DiskSelector(**selector), DISKS)
    assert choice.serial == serial
    assert bool(choice.problem) == (serial is None)


def test_disk_that_nobody_saw_is_not_called_blank() -> None:
    """Before an inspection the plan says so."""
    assert choose_disk(DiskSelector(serial="A"), None).content == "not inspected yet"
