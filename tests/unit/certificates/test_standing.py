"""How a certificate stands: what is served counts, and whatever a host says is data."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from bmk.certificates.answer import HostAnswer, RenewalAnswer, look_program, read_answer, renew_program
from bmk.certificates.certificate import Certificate, all_of, from_der, from_pem
from bmk.certificates.kind import DAY, STATIC_PODS, CertificateKind
from bmk.certificates.kinds import BY_NAME, KINDS
from bmk.certificates.renewal import arrived, steps, urgent
from bmk.certificates.standing import STATES, FileSeen, HostCertificates, ObservedCertificate, judge
from bmk.errors import BmkError

NOW = 1_800_000_000.0
API = BY_NAME["apiserver"]


def one(left: float, life: float = 365 * DAY, digest: str = "a") -> Certificate:
    return Certificate("CN=x", "CN=ca", NOW + left - life, NOW + left, digest * 64)


def state(kind: CertificateKind, seen: ObservedCertificate) -> str:
    found = judge("par", "cp-1", kind, seen, NOW)
    assert found is not None
    assert bool(found.next) == (found.state != "ok")
    return found.state


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (ObservedCertificate(FileSeen(one(200 * DAY)), one(200 * DAY)), "ok"),
        (ObservedCertificate(FileSeen(one(29 * DAY)), one(29 * DAY)), "due"),
        (ObservedCertificate(FileSeen(one(31 * DAY)), one(31 * DAY)), "ok"),
        (ObservedCertificate(FileSeen(one(300, 600)), one(300, 600)), "ok"),
        (ObservedCertificate(FileSeen(one(150, 600)), one(150, 600)), "due"),
        (ObservedCertificate(FileSeen(one(-1)), one(-1)), "expired"),
        (ObservedCertificate(FileSeen(one(300 * DAY)), one(-1, digest="b")), "expired"),
        (ObservedCertificate(FileSeen(one(300 * DAY)), one(5 * DAY, digest="b")), "stale"),
        (ObservedCertificate(FileSeen(one(300 * DAY), pair=False), one(300 * DAY)), "broken"),
        (ObservedCertificate(FileSeen(None, problem="there is no certificate in it")), "broken"),
        (ObservedCertificate(FileSeen(one(300 * DAY)), silent="nobody hears on this port"), "unknown"),
        (ObservedCertificate(served=one(300 * DAY), blind="ssh does not answer"), "ok"),
        (ObservedCertificate(silent="no answer", blind="ssh does not answer"), "unknown"),
        (ObservedCertificate(served=one(300 * DAY), pinned="b" * 64), "foreign"),
    ],
)
def test_what_counts(seen: ObservedCertificate, expected: str) -> None:
    """The earlier end, what is served before what is in the file, and never silence taken for health."""
    assert state(API, seen) == expected


def test_a_client_that_began_before_its_file_changed_has_not_read_it() -> None:
    """It cannot be dialled: when its program began tells."""
    kind = BY_NAME["scheduler.conf"]
    file = FileSeen(one(300 * DAY), changed=100.0)
    assert state(kind, ObservedCertificate(file, started=99.0)) == "stale"
    assert state(kind, ObservedCertificate(file, started=101.0)) == "ok"
    assert state(kind, ObservedCertificate(file)) == "ok"


def test_the_life_of_a_certificate_begins_with_its_file() -> None:
    """A third of what somebody dated back is no measure of ten minutes."""
    ten_years = Certificate("CN=x", "CN=ca", NOW - 3650 * DAY, NOW + 590, "a" * 64)
    assert state(API, ObservedCertificate(FileSeen(ten_years, changed=NOW - 10), ten_years)) == "ok"
    assert state(API, ObservedCertificate(FileSeen(ten_years, changed=NOW - 3000), ten_years)) == "due"


def test_what_need_not_be_there_is_not_told_of() -> None:
    """A second control plane has no super-admin.conf; an API server without a certificate is another matter."""
    assert judge("par", "cp-2", BY_NAME["super-admin.conf"], ObservedCertificate(), NOW) is None
    assert state(BY_NAME["kubelet-server"], ObservedCertificate()) == "missing"


times = st.floats(-400 * DAY, 4000 * DAY)
files = st.builds(
    FileSeen,
    st.one_of(st.none(), st.builds(one, times, st.floats(60, 4000 * DAY), st.sampled_from("ab"))),
    st.floats(0, 2e9),
    st.booleans(),
    st.sampled_from(["", "odd"]),
)
served = st.one_of(st.none(), st.builds(one, times, st.floats(60, 4000 * DAY), st.sampled_from("ab")))
seen = st.builds(
    ObservedCertificate,
    st.one_of(st.none(), files),
    served,
    st.sampled_from(["", "no answer"]),
    st.sampled_from(["", "ssh does not answer"]),
    st.one_of(st.none(), st.floats(0, 2e9)),
)


@given(known=st.lists(st.tuples(st.sampled_from(KINDS), seen), max_size=20))
def test_whatever_was_seen_has_a_standing_and_steps_in_order(
    known: list[tuple[CertificateKind, ObservedCertificate]],
) -> None:
    """No state is ok with an end that has passed; each static pod is once in the steps, in its order."""
    found = [s for kind, what in known if (s := judge("par", "cp-1", kind, what, NOW)) is not None]
    for s in found:
        assert s.state in STATES
        assert s.state != "ok" or s.ends > NOW
    programs = [step.program for step in steps(found)]
    order = ["", *(pod.name for pod in STATIC_PODS)]
    assert programs == [name for name in order if name in programs]
    assert all(step.renew or step.program for step in steps(found))


def test_a_step_has_arrived_when_what_it_renewed_is_used() -> None:
    """Another certificate, shown by a program that began anew and says that it is well; each of these alone is not."""

    def host(left: float, digest: str, shown: str, began: float, *, well: bool) -> HostCertificates:
        what = ObservedCertificate(FileSeen(one(left, digest=digest)), one(left, digest=shown))
        s = judge("par", "cp-1", API, what, NOW)
        assert s is not None
        return HostCertificates((s,), {"kube-apiserver": began}, frozenset({"kube-apiserver"} if well else ()))

    before = host(DAY, "a", "a", 5.0, well=True)
    (step,) = steps(before.standings)
    assert (step.program, step.renew) == ("kube-apiserver", ("apiserver",))
    assert arrived(host(300 * DAY, "b", "b", 6.0, well=True), before, step)
    for other in (
        host(DAY, "a", "a", 6.0, well=True),
        host(300 * DAY, "b", "a", 6.0, well=True),
        host(300 * DAY, "b", "b", 5.0, well=True),
        host(300 * DAY, "b", "b", 6.0, well=False),
    ):
        assert not arrived(other, before, step)


def test_what_shows_an_ended_one_and_has_a_good_file_is_only_started_again() -> None:
    """Renewed already, and not read: another renewal would not help."""
    s = judge("par", "cp-1", API, ObservedCertificate(FileSeen(one(300 * DAY, digest="b")), one(-DAY)), NOW)
    assert s is not None
    assert s.state == "expired"
    assert [(step.program, step.renew) for step in steps([s])] == [("kube-apiserver", ())]


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (one(-1), True),
        (one(3500), True),
        (one(3700), False),
        (one(1700, 1800), False),
        (one(500, 1800), True),
    ],
)
def test_what_ends_before_a_run_does_is_urgent(seen: Certificate, expected: bool) -> None:
    """But not what is made for half an hour and new: another would end as soon, and every plan would have it."""
    found = [
        judge("par", "cp-1", kind, ObservedCertificate(FileSeen(seen), seen), NOW)
        for kind in KINDS
        if kind.program == "etcd"
    ]
    assert urgent([s for s in found if s], NOW) == (("etcd-server", "etcd-peer") if expected else ())


def test_kinds_are_whole() -> None:
    """Each has a name of its own, a known signer and a file; what kubeadm renews is read by a pod that exists."""
    names = [kind.name for kind in KINDS]
    assert len(names) == len(set(names))
    pods = {pod.name for pod in STATIC_PODS}
    for kind in KINDS:
        assert kind.signer in ("", *names)
        assert kind.path or kind.place in ("bmc", "profile")
        assert kind.renewal != "kubeadm" or kind.program in ("", *pods)


def made(name: str = "x") -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), 7, start, start + datetime.timedelta(days=1))
    return builder.sign(key, hashes.SHA256())


def test_certificates_are_read_out_of_whatever_is_around_them() -> None:
    """The first is the holder's; control characters of a name are not kept."""
    pem = made("a\x1b[2J").public_bytes(Encoding.PEM).decode()
    found = all_of(f"noise\n{pem}\nnoise\n{pem}")
    assert len(found) == 2
    assert found[0].ends - found[0].begins == DAY
    assert "\x1b" not in found[0].subject
    assert from_pem(pem).sha256 == made_digest(pem)


def made_digest(pem: str) -> str:
    return x509.load_pem_x509_certificate(pem.encode()).fingerprint(hashes.SHA256()).hex()


@given(junk=st.binary(max_size=400), place=st.integers(0, 300))
def test_bytes_of_a_stranger_are_a_value_error_at_worst(junk: bytes, place: int) -> None:
    """A certificate that was tampered with, or is none."""
    der = made().public_bytes(Encoding.DER)
    for one_of_them in (junk, der[:place] + junk + der[place:], der[:place] + junk):
        try:
            from_der(one_of_them)
        except ValueError:
            continue


GOOD: dict[str, Any] = {
    "files": {"/x": {"pem": "", "changed": 1.0, "pair": True, "problem": ""}},
    "started": {"etcd": 1.0},
    "healthy": ["etcd"],
}


@pytest.mark.parametrize(
    "odd",
    [
        "",
        "@bmk@",
        "@bmk@[]",
        "@bmk@" + "[" * 10_000,
        "@bmk@" + json.dumps({**GOOD, "files": 7}),
        "@bmk@"
        + json.dumps({**GOOD, "files": {"/x": {"pem": "x" * 70_000, "changed": 1.0, "pair": True, "problem": ""}}}),
        "@bmk@" + json.dumps({**GOOD, "started": {"etcd": float("nan")}}),
        "@bmk@" + json.dumps({**GOOD, "started": {"etcd": 1e300}}),
        "@bmk@" + json.dumps({**GOOD, "files": {str(i): GOOD["files"]["/x"] for i in range(200)}}),
    ],
)
def test_an_odd_answer_of_a_host_is_an_error_of_ours(odd: str) -> None:
    """Never a traceback, however long, deep or wrong it is."""
    with pytest.raises(BmkError, match="cannot be understood"):
        read_answer(HostAnswer, odd)


def test_a_good_answer_is_read() -> None:
    """And a file in which there is no certificate is broken, not absent."""
    answer = read_answer(HostAnswer, "motd\n@bmk@" + json.dumps(GOOD))
    assert answer.files["/x"].seen().problem == "there is no certificate in it"
    said = read_answer(RenewalAnswer, '@bmk@{"done": false, "failed": "apiserver", "why": "x"}')
    assert (said.done, said.failed) == (False, "apiserver")


def test_programs_name_no_secret_and_are_python() -> None:
    """What is sent to a host compiles; a worker is not asked about static pods."""
    for text in (look_program("control_plane", "10.0.0.1"), renew_program(["apiserver"], "kube-apiserver", "/x")):
        compile(text, "on_node", "exec")
    assert "10257" not in look_program("worker", "10.0.0.1").rpartition("look(")[2]
    assert "https://10.0.0.1:6443/readyz" in look_program("control_plane", "10.0.0.1")
