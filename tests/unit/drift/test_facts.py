"""Every fact reads what a real control plane printed (facts/control-plane.txt), and refuses what is something else."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmk.drift import baseline
from bmk.drift.classify import classify
from bmk.drift.collector import _answer
from bmk.drift.compare import compare
from bmk.drift.desired import wanted_for_baseline
from bmk.drift.facts import ALL, FACTS, MANIFEST, TEXTS, Found, Garbage, Wanted, read, script
from bmk.drift.facts.health import DISKS, HEALTH
from bmk.drift.facts.kernel import BOOT
from bmk.drift.facts.kubernetes import CERTIFICATES
from bmk.drift.facts.network import LISTENERS, ROUTES
from bmk.drift.model import Desired

ANSWER = (Path(__file__).parent / "facts/control-plane.txt").read_text().split("\n")


@pytest.fixture(scope="module")
def found() -> dict[str, Found]:
    return read(ANSWER)


def test_every_fact_has_an_answer_of_a_real_host(found: dict[str, Found]) -> None:
    """A new fact comes with what a host says to it."""
    assert set(found) == {fact.name for fact in FACTS}
    assert [name for name, items in found.items() if not items] == [
        "boot",
        "disks",
        "routes",
    ]  # it is a container, and nobody set a route


@pytest.mark.parametrize(
    ("kind", "name", "attributes"),
    [
        ("health", "python", {"there": True}),
        ("clock", "sync", {"synchronised": False}),
        ("packages", "apt", {"installed": True, "version": "3.0.4", "held": False}),
        (
            "units",
            "kubelet.service",
            {"active": True, "enabled": True, "masked": False, "fresh": True, "drop_ins": ""},
        ),
        ("sysctls", "net.ipv4.conf.all.rp_filter", {"value": "1"}),
        ("kernel", "container", {"value": "yes"}),
        ("kernel_modules", "overlay", {"in_kernel": True}),
        ("mounts", "/var/lib/etcd", {"filesystem": "ext4", "read_only": False}),
        (
            "nftables",
            "inet bmk-masquerade",
            {"rules": "2cd325a98f88dfbd5a2b69095084d8f4348c48bc4b7b1902a56f3c705d6afaf4"},
        ),
        ("network", "default route", {"gateway": "10.67.0.1"}),
        ("network", "address 10.67.0.11", {"prefix": 24}),
        ("users", "root", {"uid": 0, "gid": 0, "shell": "/bin/bash", "password": "locked"}),
        ("groups", "bmk-cri", {"gid": 952, "members": ""}),
        ("health", "disk", {"at": "/", "free_kb": 40766196}),
        ("listeners", "tcp 2379 etcd", {"process": "etcd"}),
        ("containerd", "version", {"value": 4}),
    ],
)
def test_facts_of_a_control_plane(found: dict[str, Found], kind: str, name: str, attributes: dict[str, object]) -> None:
    """One item of each kind, as it is compared."""
    assert found[kind][name] == attributes


def test_files_have_rights_and_content(found: dict[str, Found]) -> None:
    """Files with their digest, directories without, links with their target."""
    pod = found["files"]["/etc/kubernetes/manifests/etcd.yaml"]
    assert (pod["type"], pod["mode"], pod["owner"], len(pod["sha256"])) == ("file", "0600", "root", 64)
    assert "sha256" not in found["files"]["/etc/kubernetes/manifests"]
    assert any(a["type"] == "link" and a["target"] for a in found["files"].values())


def test_loopback_is_no_listener(found: dict[str, Found]) -> None:
    """What only the host itself can reach is not reported."""
    assert "tcp 10248 kubelet" not in found["listeners"]


def test_udp_listeners_are_those_that_answer() -> None:
    """A port of a service is reported; one on which a client waits for an answer (DHCP, handed out) is not."""
    lines = [
        'udp UNCONN 0 0 0.0.0.0:69 0.0.0.0:* users:(("tftpd",pid=1,fd=4))',
        'udp UNCONN 0 0 10.0.0.2%eth0:68 0.0.0.0:* users:(("systemd-network",pid=2,fd=9))',
        'udp UNCONN 0 0 0.0.0.0:45123 0.0.0.0:* users:(("resolver",pid=3,fd=9))',
        "udp UNCONN 0 0 127.0.0.1:323 0.0.0.0:*",
    ]
    assert LISTENERS.parse(lines) == {"udp 69 tftpd": {"process": "tftpd"}}


def test_disks_are_those_that_are_built_in() -> None:
    """By serial, or by WWN without one; disks of a network come and go, and memory is none."""
    said = {"blockdevices": [
        {"name": "vda", "type": "disk", "tran": "virtio", "serial": "LABDISK1", "wwn": None, "size": 8589934592},
        {"name": "sda", "type": "disk", "tran": "sas", "serial": None, "wwn": "0x5000c5", "size": 4000787030016},
        {"name": "sdb", "type": "disk", "tran": "iscsi", "serial": "CSI1", "wwn": None, "size": 1073741824},
        {"name": "zram0", "type": "disk", "tran": None, "serial": None, "wwn": None, "size": 0},
        {"name": "sr0", "type": "rom", "tran": "sata", "serial": "QM1", "wwn": None, "size": 1073741312},
    ]}  # fmt: skip
    wanted = {"LABDISK1": {"size": 8589934592}, "0x5000c5": {"size": 4000787030016}}
    assert DISKS.parse(json.dumps(said, indent=3).split("\n")) == wanted
    assert DISKS.parse([]) == {}


def test_routes_are_those_that_somebody_set() -> None:
    """To a gateway, to a device, to nowhere; the default one is the network's, and one address on a device a pod's."""
    lines = [
        '[{"dst":"default","gateway":"10.0.0.1","dev":"lan0","flags":[]}]',
        "",
        '[{"dst":"10.79.1.2","dev":"vethd80aa2cb","scope":"host","flags":[]},'
        '{"dst":"10.9.0.0/16","gateway":"10.0.0.66","dev":"lan0","flags":[]},'
        '{"dst":"10.244.1.0/24","gateway":"10.244.1.0","dev":"flannel.1","flags":["onlink"]},'
        '{"dst":"10.8.0.0/16","dev":"tun0","scope":"link","flags":[]},{"type":"blackhole","dst":"10.7.0.1","flags":[]}]',
        "",
    ]
    assert ROUTES.parse(lines) == {
        "10.9.0.0/16 via 10.0.0.66": {"device": "lan0"},
        "10.8.0.0/16 via the link": {"device": "tun0"},
        "10.7.0.1 via blackhole": {"device": ""},
    }


def test_boot_entries_are_named_by_label() -> None:
    """The first of the order and what is next, whatever numbers they have; a device path is no part of a name."""
    lines = ["BootNext: 0001", "BootCurrent: 0008", "Timeout: 0 seconds", "BootOrder: 0008,0000,0001"]
    lines += ["Boot0000* UiApp", "Boot0001* UEFI Misc Device\tPciRoot(0x0)/Pci(0x2,0x0)", "Boot0008* bmk\tHD(1,GPT)"]
    assert BOOT.parse(lines) == {"next": {"value": "UEFI Misc Device"}, "first": {"value": "bmk"}}
    assert BOOT.parse([]) == {}


def test_a_disk_without_inodes_is_full() -> None:
    """Space alone is not enough; a file system that has no inodes to count is not full for that."""
    lines = ["python=yes", "disk=/ 500 0 0", "disk=/var 9000 100 0", "boot=x"]
    assert HEALTH.parse(lines)["disk"] == {"at": "/var", "free_kb": 0}


def test_texts_of_keys_are_not_brought(tmp_path: Path) -> None:
    """What the deployer must not have never leaves the host, although its directory is listed."""
    for name in ("a.yaml", "server.key", "bmk/encryption.yaml"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    command = TEXTS.command(Wanted(texts=[str(tmp_path)])).replace("/etc/kubernetes", str(tmp_path))
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert list(TEXTS.parse(done.stdout.splitlines())) == [f"{tmp_path}/a.yaml"]


def test_certificates_hold(found: dict[str, Found]) -> None:
    """All of them, with their end, against the clock of the host."""
    apiserver = found["certificates"]["/etc/kubernetes/pki/apiserver.crt"]
    assert (apiserver["valid"], apiserver["valid_in_30_days"]) == (True, True)
    end = 1826118000  # Nov 13 15:00:00 2027 GMT
    for now, valid, soon in ((end - 31 * 86400, True, True), (end - 29 * 86400, True, False), (end, False, False)):
        (found_then,) = CERTIFICATES.parse([str(now), "/x.crt\tNov 13 15:00:00 2027 GMT"]).values()
        assert (found_then["valid"], found_then["valid_in_30_days"]) == (valid, soon)


def test_a_key_is_named_by_its_fingerprint(found: dict[str, Found]) -> None:
    """User, kind and fingerprint; never the comment, which anybody can write."""
    (name,) = found["authorized_keys"]
    assert name.startswith("root ssh-ed25519 SHA256:")


@pytest.mark.parametrize("cut", [0, 1, 200, len(ANSWER) - 5])
def test_a_part_of_an_answer_is_none(cut: int) -> None:
    """A host that died in the middle, or says something else, is not read as one where things are missing."""
    with pytest.raises(Garbage):
        read(ANSWER[:cut])


@given(st.lists(st.text(max_size=40), max_size=20))
def test_garbage_is_garbage(lines: list[str]) -> None:
    """Whatever stands between the marks, the answer is read or refused; nothing else happens."""
    for name in ("files", "packages", "units", "listeners", "certificates", "network", "users"):
        try:
            read(["@@bmk begin", f"@@bmk {name}", *lines, "@@bmk end"])
        except Garbage:
            continue


def test_the_script_is_one_that_a_shell_can_read() -> None:
    """For any names: quotes and spaces of a path end no word."""
    ids = {kind: ["/x y/'z", "a.b"] for kind in ("files", "units", "sysctls", "kernel_modules")}
    text = script(Wanted(ids, listed=["/l 'i"], texts=['/t "x']), ALL)
    done = subprocess.run(["sh", "-n"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_texts_come_back_as_they_are() -> None:
    """Bytes that are no text do no harm."""
    assert TEXTS.parse(_archive({"/x": b"a\tb\n\xff"})) == {"/x": {"text": "a\tb\n\ufffd"}}


def test_no_more_of_a_text_is_read_than_was_asked_for() -> None:
    """A host that sends a file of any size costs nothing; one that sends no archive has said garbage."""
    assert TEXTS.parse(_archive({"/big": b"x" * 70000, "/x": b"y"})) == {"/x": {"text": "y"}}
    assert TEXTS.parse([]) == {}
    with pytest.raises(ValueError, match="header"):
        TEXTS.parse([base64.b64encode(b"x" * 2048).decode()])


def test_the_script_brings_the_texts_of_real_files(tmp_path: Path) -> None:
    """Through a shell, find, tar and back: below directories too, with any name."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d/a b'c").write_text("one\n")
    (tmp_path / "two").write_text("")
    text = script(Wanted(texts=[str(tmp_path / "d"), str(tmp_path / "two"), "/nonexistent"]), (TEXTS,))
    said = subprocess.run(["sh", "-s"], input=text, capture_output=True, text=True, check=True).stdout
    assert read(said.split("\n"), (TEXTS,))["texts"] == {
        f"{tmp_path}/d/a b'c": {"text": "one\n"},
        f"{tmp_path}/two": {"text": ""},
    }


def _archive(files: dict[str, bytes]) -> list[str]:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return [base64.b64encode(out.getvalue()).decode()]


def test_a_clock_is_right_between_question_and_answer() -> None:
    """Five seconds are forgiven, a minute is not; and it is the deployer who compares."""
    facts = {"clock": {"time": {"now": 1000}}}
    answers = [
        _answer({"host": "x", "facts": dict(facts), "began": b, "ended": b + 2}) for b in (997.0, 1004.0, 1060.0)
    ]
    assert [a.facts["clock"]["time"]["right"] for a in answers] == [True, True, False]


def test_a_host_without_python_or_space_is_troubled() -> None:
    """It answers, and yet nothing could be put right there."""
    health = {"python": {"there": False}, "disk": {"at": "/var", "free_kb": 0}}
    answer = _answer({"host": "x", "facts": {"health": health}, "began": 1.0, "ended": 2.0})
    assert [t.cause for t in answer.troubles] == ["no-python", "disk-full"]


ODD = st.sampled_from(
    ["", "\t", "=", "9" * 5000, "[" * 5000, "{}", "[]", '{"sections": 5}', "\x1b]0;x\x07", "-1", "NaN"]
)


@given(st.lists(st.tuples(st.integers(0, len(ANSWER) - 1), ODD | st.text(max_size=30)), min_size=1, max_size=6))
def test_an_answer_that_is_almost_right_hurts_nobody(changes: list[tuple[int, str]]) -> None:
    """Lines of a real answer replaced by others: garbage of that host, or facts that can be compared and classified."""
    lines = list(ANSWER)
    for at, text in changes:
        lines[at] = text
    try:
        facts = read(lines, ALL)
    except Garbage:
        return
    answer = _answer({"host": "n1", "began": 0.0, "ended": 1.0, "facts": facts})
    for difference in compare(Desired(read(ANSWER)), answer.facts):
        classify("par", "n1", difference, Desired(), {})


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=9,
)
items = st.fixed_dictionaries(
    {}, optional={"name": values, "path": values, "dest": values, "desired": values, "own": values}
)
sections = st.sampled_from(["a.files", "a.downloads", "a.sysctls", "a.units", "odd", ""])
manifests = st.fixed_dictionaries(
    {
        "sections": st.dictionaries(
            sections, st.fixed_dictionaries({"inputs": values, "items": st.lists(items)}) | values
        )
    }
)


@given(manifests | values)
def test_a_manifest_has_the_shape_of_ours_or_is_garbage(body: object) -> None:
    """Whatever a host wrote there, it can be recorded and asked about, or that host alone gets no baseline."""
    lines = ["@@bmk begin", "@@bmk manifest", *json.dumps(body).split("\n"), "", "@@bmk end"]
    try:
        found = read(lines, ALL)["manifest"]["manifest"]
    except Garbage:
        return
    wanted_for_baseline(found)
    signed = baseline.make("n1", "d", found, {}, {})
    assert baseline.renewed(signed, baseline.make("n1", "d", found, {}, {}), [])[1] == []


def test_the_manifest_of_a_converge_passes_unchanged() -> None:
    """What our modules record is kept as it is, so that a baseline of an older bmk still compares equal."""
    record = {"inputs": "1", "items": [{"name": "a.service", "state": "started", "enabled": True, "watch": ["/etc/a"],
                                        "desired": {"active": True, "stale": False, "count": None}}]}  # fmt: skip
    assert MANIFEST.parse([json.dumps({"schema": 1, "sections": {"a.units": record}})]) == {
        "manifest": {"sections": {"a.units": record}}
    }


def test_holes_in_an_archive_are_counted() -> None:
    """A short archive of sparse files is not unpacked into memory without end."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for number in range(200):
            member = tarfile.TarInfo(f"/etc/{number}")
            member.size = 65536
            archive.addfile(member, io.BytesIO(bytes(65536)))
    with pytest.raises(Garbage, match="more than 8 MiB"):
        read(["@@bmk begin", "@@bmk texts", base64.b64encode(packed.getvalue()).decode(), "", "@@bmk end"], ALL)
