"""What suites know of a host: its roles, the items they want, and who must have been asked."""

from __future__ import annotations

import json

from bmk.verify.run import VerifyResult, suites_without_tests
from bmk.verify.suites.record import parse


def said(**files: dict[str, object]) -> str:
    """What `tail -v` prints."""
    names = {"manifest": "/etc/bmk/manifest.json", "kubeadm": "/etc/bmk/kubeadm.json"}
    paths = {names.get(n, f"/var/lib/bmk/sections/{n}.json"): body for n, body in files.items()}
    return "".join(f"==> {path} <==\n{json.dumps(body)}\n\n" for path, body in paths.items())


def section(name: str, kind: str, *items: str) -> dict[str, object]:
    return {"section": name, "kind": kind, "inputs": "", "items": [{"name": item} for item in items]}


def test_a_host_has_the_roles_that_it_has_sections_of() -> None:
    """Sections with names of their own belong to the role that writes them."""
    record = parse(
        said(a=section("boot_server", "units"), b=section("boot_server_users", "units"), c=section("kubeadm", "files"))
    )
    assert record.roles == {"boot_server", "kubelet"}


def test_a_worker_is_who_joined_and_is_no_control_plane() -> None:
    """The role worker writes nothing, so it is known by what kubeadm noted."""
    kubelet, control = section("kubelet", "files"), section("control_plane", "files")
    assert "worker" in parse(said(a=kubelet, kubeadm={"state": "joined"})).roles
    assert "worker" not in parse(said(a=kubelet, kubeadm={"state": "unfinished"})).roles
    assert "worker" not in parse(said(a=kubelet, b=control, kubeadm={"state": "joined"})).roles


def test_items_of_a_role_are_those_of_all_its_sections() -> None:
    """One kind, several sections."""
    record = parse(
        said(a=section("boot_server", "units", "x"), b=section("boot_server_users", "units", "y"), manifest={})
    )
    assert [item["name"] for item in record.items("boot_server", "units")] == ["x", "y"]
    assert record.items("boot_server", "files") == []


def test_a_host_that_never_converged_has_no_role() -> None:
    """Nothing printed, nothing known; half a file counts as none."""
    assert parse("").roles == set()
    assert parse('==> /etc/bmk/manifest.json <==\n{"sec').manifest == {}


def test_a_suite_that_ran_no_test_is_an_error() -> None:
    """Who asks for a role must get an answer about it: skipped tests are none."""
    results = [VerifyResult("a", "kubelet", "files", "passed"), VerifyResult("a", "worker", "files", "skipped")]
    assert [(r.suite, r.outcome) for r in suites_without_tests(["kubelet", "worker", "missing"], results)] == [
        ("worker", "error"),
        ("missing", "error"),
    ]
