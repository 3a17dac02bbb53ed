"""Every fact reads what a real control plane printed (facts/control-plane.txt), and refuses what is something else."""

from __future__ import annotations

import base64
import io
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmk.drift.facts import FACTS, MANIFEST, TEXTS, Found, Garbage, Wanted, read, script
from bmk.drift.gather import _answer

ANSWER = (Path(__file__).parent / "facts/control-plane.txt").read_text().split("\n")
EVERYTHING = (*FACTS, MANIFEST, TEXTS)


@pytest.fixture(scope="module")
def found() -> dict[str, Found]:
    return read(ANSWER)


def test_every_fact_has_an_answer_of_a_real_host(found: dict[str, Found]) -> None:
    """A new fact comes with what a host says to it."""
    assert set(found) == {fact.name for fact in FACTS}
    assert [name for name, items in found.items() if not items] == []


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
        ("network", "default route", {"gateway": "10.67.0.1"}),
        ("network", "address 10.67.0.11", {"prefix": 24}),
        ("users", "root", {"uid": 0, "shell": "/bin/bash", "password": "locked"}),
        ("groups", "bmk-cri", {"gid": 952, "members": ""}),
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
    """What only the host itself can reach is not told."""
    assert "tcp 10248 kubelet" not in found["listeners"]


def test_certificates_hold(found: dict[str, Found]) -> None:
    """All of them, with their end."""
    apiserver = found["certificates"]["/etc/kubernetes/pki/apiserver.crt"]
    assert (apiserver["valid"], apiserver["valid_in_30_days"]) == (True, True)


@pytest.mark.parametrize(
    ("said", "now", "soon"),
    [
        ("notAfter=Jan  1 00:00:00 1970 GMT", False, False),
        ("notAfter=Jan  2 00:00:00 1970 GMT", True, False),
        ("notAfter=Feb  2 00:00:00 1970 GMT", True, True),
        ("", False, False),
    ],
)
def test_a_certificate_that_ends_or_cannot_be_read(said: str, *, now: bool, soon: bool) -> None:
    """By the time that the host said; what openssl cannot read does not hold."""
    certificates = next(fact for fact in FACTS if fact.name == "certificates")
    (found,) = certificates.parse(["0", f"/x.crt\t{said}"]).values()
    assert (found["valid"], found["valid_in_30_days"]) == (now, soon)


def test_a_key_is_told_by_its_print(found: dict[str, Found]) -> None:
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
    text = script(Wanted(ids, listed=["/l 'i"], texts=['/t "x']), EVERYTHING)
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
    health = {"python": {"there": False}, "root": {"free_kb": 0}}
    answer = _answer({"host": "x", "facts": {"health": health}, "began": 1.0, "ended": 2.0})
    assert [t.cause for t in answer.troubles] == ["no-python", "disk-full"]
