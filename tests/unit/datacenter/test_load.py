"""Reading a data center: what a good one becomes, and how a bad one is told."""

from __future__ import annotations

import os
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from bmk.datacenter.load import load_datacenter
from bmk.datacenter.problems import InvalidDataCenter
from bmk.errors import ConfigError, Exit
from bmk.paths import content_dir

GOLDEN = Path(__file__).parent / "golden"


def test_good_file_resolves_every_host(room):
    """A host gets its role, network, address, pod range and its profile's disk from the file."""
    dc = room.load()
    host = dc.hosts["d"]
    assert (dc.name, list(dc.hosts)) == ("tiny", ["a", "b", "c", "d"])
    assert (host.role, host.cluster, host.rack, host.mac) == ("worker", "one", "r1", "52:54:00:00:00:04")
    assert (host.address, host.pods) == (IPv4Address("10.1.0.14"), IPv4Network("10.3.4.0/24"))
    assert host.disk.size == ">=400GB"
    assert [h.name for h in dc.members("one", "control_plane")] == ["a", "b", "c"]


@pytest.mark.parametrize("name", sorted(p.name for p in (content_dir() / "inventories").iterdir() if p.is_dir()))
def test_shipped_data_centers_are_valid(name):
    """Every data center in inventories/ loads without a problem, against the lock file that bmk ships."""
    assert load_datacenter(name).name == name


def test_host_without_cluster_is_spare(room):
    """A machine that no cluster names or selects has no role in one and needs no pod range."""
    dc = room.edit("labels: {role: worker}", "labels: {role: none}").load()
    assert (dc.hosts["d"].role, dc.hosts["d"].cluster, dc.hosts["d"].pods) == ("spare", None, None)


def test_all_problems_are_told_in_one_go(monkeypatch):
    """One run names every problem of a thoroughly bad file, with place, line, caret, expectation and did-you-mean."""
    monkeypatch.chdir(GOLDEN)
    with pytest.raises(InvalidDataCenter) as caught:
        load_datacenter("bad.yml", versions=frozenset({"1.37.2"}))
    if os.environ.get("UPDATE_GOLDEN"):
        Path("bad.txt").write_text(f"{caught.value}\n")
    assert f"{caught.value}\n" == Path("bad.txt").read_text()
    assert caught.value.exit_code == Exit.CONFIG


def test_rack_file_positions_are_those_of_the_rack_file(room):
    """A problem in a rack's own file is reported with that file, line and column."""
    text = '- name: x\n  profile: bix\n  serial: S9\n  nics: [{mac: "52:54:00:00:00:09"}]\n  bmc: {address: 10.2.0.9}\n'
    path = room.write("hosts/r2.yml", text)
    problems = room.edit("  clusters:", "    r2: {hosts: hosts/r2.yml}\n  clusters:").problems()
    assert [str(p).splitlines()[:3] for p in problems] == [
        [f"{path}:2:12: there is no profile 'bix'", "      profile: bix", "               ^"]
    ]


def test_absent_rack_file_is_named(room):
    """A rack's file that is not there is a problem at its path, with the nearest file as a hint."""
    room.write("hosts/r2.yml", "[]")
    (problem,) = room.edit("  clusters:", "    r2: {hosts: hosts/r3.yml}\n  clusters:").problems()
    assert (problem.line, problem.what, problem.hint) == (
        18,
        "there is no file 'hosts/r3.yml'",
        "did you mean 'hosts/r2.yml'?",
    )


def test_problems_of_addresses_file_are_located_there(room):
    """A wrong line of addresses.yml is reported in addresses.yml."""
    (problem,) = room.edit("10.3.4.0/24", "10.9.4.0/24", "addresses.yml").problems()
    assert problem.path.endswith("addresses.yml")
    assert problem.what == "10.9.4.0/24 is no /24 of the pod range 10.3.0.0/16 of one"


def test_shape_and_cross_errors_come_together(complaint, room):
    """A wrong key in one host does not hide a duplicate between two others."""
    room.edit("serial: S3", "serial: S2")
    found = complaint("serial: S4", "seriel: S4")
    assert [text.split(" [")[0] for text in found] == [
        f"16:43 the serial 'S2' is already at {room.directory}/dc.yml:15:43",
        "17:11 the key 'serial' is missing in racks.r1.hosts.3",
        "17:35 unknown key 'seriel'",
    ]


def test_not_yaml_is_told_with_its_place(room):
    """A syntax error has file, line, column and a caret, and exit code 3."""
    path = room.write("dc.yml", "apiVersion: bmk.dev/v1\nkind: [DataCenter\nmetadata: {}\n")
    (problem,) = room.problems()
    assert str(problem).startswith(f"{path}:3:9: this is not YAML: while parsing a flow sequence")
    assert "metadata: {}\n            ^" in str(problem)


def test_rack_file_that_is_not_yaml_hides_nothing(room):
    """A syntax error in a rack's file comes together with the problems of the other files."""
    path = room.write("hosts/r2.yml", "- {name: x\n- y\n")
    room.edit("  clusters:", "    r2: {hosts: hosts/r2.yml}\n  clusters:").edit("serial: S3", "serial: S2")
    assert [p.what.split(":")[0] for p in room.problems()][1] == "this is not YAML"
    assert room.problems()[1].path == str(path)
    assert room.problems()[0].what.startswith("the serial 'S2' is already")


def test_rack_file_that_is_no_list_is_told_there(room):
    """A rack's file that holds a mapping is a problem of that file."""
    path = room.write("hosts/r2.yml", "hosts: []\n")
    (problem,) = room.edit("  clusters:", "    r2: {hosts: hosts/r2.yml}\n  clusters:").problems()
    assert (problem.path, problem.line, problem.what) == (str(path), 1, "a mapping stands where a list is expected")


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("{role: worker}}\n  cl", "{role: a b}}\n  cl", "'a b' is not a label's value"),
        ("{role: worker}}\n  cl", "{-role: a}}\n  cl", "'-role' is not a label's name"),
        ("{vip: 10.1.0.10}", "{external: 'http://lb'}", "'http://lb' is not a host name in lower case or an address"),
        ("{vip: 10.1.0.10}", "{external: lb, port: 99999}", "'99999': should be less than or equal to 65535"),
        ("name: d, ", "name: d, uuid: 12, ", "'12' is not a UUID"),
        ("serial: S4", "serial: ''", "'' is not a serial number"),
        ("  clusters:", "  rollout: {max_unavailable: 0}\n  clusters:", "'0': should be greater than or equal to 1"),
        ("  clusters:", "  rollout: {soak: 1m}\n  clusters:", "18:19 '1m': should be a valid number"),
        ("  clusters:", "  rollout: {maxUnavailable: 2}\n  clusters:", "18:13 unknown key 'maxUnavailable'"),
        ("    one:\n", "    one:\n      rollout: {pause_after: -1}\n", "20:30 '-1': should be greater"),
        ("{role: worker}}\n  cl", "}\n  cl", "nothing stands where a mapping is expected"),
    ],
)
def test_values_that_would_fail_later_are_refused_now(complaint, old, new, what):
    """Labels, endpoints, ports and UUIDs that a kubelet, a browser or a BMC would refuse are refused in the file."""
    assert any(what in text for text in complaint(old, new))


@pytest.mark.parametrize("text", ["", "- a\n", "just text\n"])
def test_file_that_is_no_mapping_is_told(room, text):
    """An empty file, a list or a text is refused with what a data center file starts with."""
    room.write("dc.yml", text)
    with pytest.raises(ConfigError, match="a mapping that starts with apiVersion"):
        room.load()


def test_thousands_of_problems_are_cut(room):
    """A file with very many problems prints fifty, and how many more there are."""
    hosts = "".join(f"        - {{name: x{i}, profile: nope}}\n" for i in range(200))
    with pytest.raises(InvalidDataCenter) as caught:
        room.edit("  clusters:", f"    r2:\n      hosts:\n{hosts}  clusters:").load()
    assert str(caught.value).endswith("... and 550 more")


SHADOW = "root:$6$salt$hash:19000:0:99999:7:::\n"


@pytest.mark.parametrize(
    "file", ["../shadow", "../shadow.yml", "{outside}/shadow.yml", "linked.yml", "secrets.yml", "dc.yml"]
)
def test_a_rack_names_no_file_of_others(room, tmp_path, file):
    """Files outside of the data center's directory, and those that are no lists of hosts, are not read or quoted."""
    for name in ("shadow", "shadow.yml"):
        (tmp_path / name).write_text(SHADOW)
    (room.directory / "linked.yml").symlink_to("../shadow.yml")
    room.write("secrets.yml", "bmc/tiny: {password: hunter2\n")
    named = file.format(outside=tmp_path)
    problems = room.edit("  clusters:", f"    r2: {{hosts: '{named}'}}\n  clusters:").problems()
    assert any("leads out of" in p.what or "is not a file of hosts" in p.what for p in problems)
    assert not any(word in str(p) for p in problems for word in ("salt", "hunter2"))


@pytest.mark.parametrize("name", ["dc.yml", "addresses.yml"])
def test_files_of_a_data_center_are_no_links_to_others(room, tmp_path, name):
    """A link in the place of a file is refused before its target is read: a pull request can carry one."""
    (tmp_path / "shadow").write_text(SHADOW)
    (room.directory / name).unlink()
    (room.directory / name).symlink_to("../shadow")
    with pytest.raises(ConfigError, match="leads out of") as caught:
        room.load()
    assert "salt" not in str(caught.value)


@pytest.mark.parametrize(
    ("lock", "what"),
    [
        ("../other.lock", "'../other.lock' is not a file beside or below this one"),
        ("/etc/shadow", "'/etc/shadow' is not a file beside"),
        ("linked.lock", "'linked.lock' leads out of"),
        ("nowhere.lock", "there is no lock file 'nowhere.lock'"),
    ],
)
def test_the_lock_is_one_of_the_data_center(room, lock, what):
    """A lock of another place, and one that is not there, are told and never replaced by the shipped one in silence."""
    (room.directory / "linked.lock").symlink_to("/etc/shadow")
    (problem,) = room.edit("  deployer:", f"  artifacts: {lock}\n  deployer:").problems()
    assert what in problem.what
