"""What `bmk certs` prints: valid, with every certificate once, in each format."""

from __future__ import annotations

from xml.etree import ElementTree

import jsonschema

from bmk.certificates.certificate import Certificate
from bmk.certificates.kind import DAY
from bmk.certificates.kinds import BY_NAME
from bmk.certificates.standing import CertificateStanding, FileSeen, ObservedCertificate, judge
from bmk.cli.certs import exit_code
from bmk.errors import Exit
from bmk.journal.records import KeyRotationOrder
from bmk.report import certificates as report

NOW = 1_800_000_000.0


def one(left: float, digest: str = "a") -> Certificate:
    return Certificate("CN=x", "CN=ca", NOW - 100 * DAY, NOW + left, digest * 64)


def standing(kind: str, seen: ObservedCertificate, where: str = "cp-1") -> CertificateStanding:
    found = judge("par", where, BY_NAME[kind], seen, NOW)
    assert found is not None
    return found


GOOD = standing("apiserver", ObservedCertificate(FileSeen(one(300 * DAY)), one(300 * DAY)))
DUE = standing("scheduler.conf", ObservedCertificate(FileSeen(one(5 * DAY))))
STALE = standing("etcd-server", ObservedCertificate(FileSeen(one(300 * DAY)), one(200 * DAY, "b")), "cp-2")
BLIND = standing("bmc", ObservedCertificate(silent="nobody hears on this port"), "worker-1")


def test_documents_are_as_their_schema_says() -> None:
    """Every state that there is one of; what is not known is null."""
    document = report.document("par", NOW, 1.5, [GOOD, DUE, STALE, BLIND])
    jsonschema.validate(document, report.schema())
    assert document["summary"] | {"ok": 1, "due": 1, "stale": 1, "unknown": 1} == document["summary"]
    by_kind = {part["kind"]: part for part in document["certificates"]}
    assert by_kind["scheduler.conf"]["seconds_left"] == 5 * DAY
    assert by_kind["bmc"]["seconds_left"] is None
    assert by_kind["etcd-server"]["file"] != by_kind["etcd-server"]["served"]


def test_people_see_what_is_wrong_with_the_next_command() -> None:
    """wide shows the rest, too; the last line says what ends first."""
    text = "\n".join(report.table([GOOD, DUE, STALE, BLIND], wide=False))
    assert "apiserver " not in text
    for words in ("due", "ends in 5 d", "bmk certs renew par", "shows another certificate", "nobody hears"):
        assert words in text
    assert "apiserver " in "\n".join(report.table([GOOD], wide=True))
    assert "first ends scheduler.conf of cp-1" in report.words("par", [GOOD, DUE], 1.0)


def test_machines_see_all() -> None:
    """A sample for each end that is known, a count for each state, a case for each certificate."""
    text = report.as_metrics("par", NOW, [GOOD, DUE, STALE, BLIND], {"apps": KeyRotationOrder(at=NOW - 60)})
    assert (
        f'bmk_encryption_rotation_begun_timestamp_seconds{{datacenter="par",cluster="apps"}} {round(NOW - 60)}' in text
    )
    end = f'kind="scheduler.conf"}} {NOW + 5 * DAY:.0f}'
    assert end in text
    assert 'bmk_certificates{datacenter="par",state="foreign"} 0' in text
    assert 'kind="bmc"' not in text
    cases = ElementTree.fromstring(report.as_junit("par", [GOOD, DUE, STALE, BLIND])).iter("testcase")
    assert len(list(cases)) == 4


def test_what_is_not_known_never_hides() -> None:
    """Exit codes of the one table."""
    assert exit_code([GOOD]) == Exit.OK
    assert exit_code([GOOD, DUE]) == Exit.PENDING
    assert exit_code([GOOD, STALE]) == Exit.PENDING
    assert exit_code([DUE, BLIND]) == Exit.SOME_HOSTS
    assert exit_code([BLIND]) == Exit.UNREACHABLE
