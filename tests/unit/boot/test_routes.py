"""Every route of the boot service, asked as nginx asks it, against a real journal."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bmk.boot import grants
from bmk.boot.app import MOST_BYTES
from bmk.boot.grants import Grant, Permission
from bmk.boot.request_context import RequestContext
from bmk.journal.host_status import project
from bmk.plan.disks import choose_disk
from tests.unit.boot.asking import Answer, ask, send

IMAGE, RAW = "a" * 64, "b" * 64
TOKEN = "t" * 43
KEY = "ssh-ed25519 " + "A" * 68 + " root@cp-1"
CP1 = {"uuid": "4c4c4544-0042-3510-8052-b4c04f4e3232", "serial": "SN-0001", "macs": ["52:54:00:20:00:11"], "disks": []}
CLAIM = {**CP1, "token": TOKEN}
REPORT: dict[str, Any] = {
    "disk_serial": "DISK-0001", "image_sha256": IMAGE, "readback_sha256": RAW, "bytes": 7, "host_keys": [KEY]
}  # fmt: skip
Wanted = Callable[[str], Permission]


def boot(context: RequestContext, mac: str, client: str = "10.20.0.11", **facts: str) -> str:
    query = "".join(f"&{key}={quote(value)}" for key, value in facts.items())
    return ask(context, f"/boot/ipxe?mac={mac}{query}&platform=efi", client=client).body.decode()


def open_for(context: RequestContext, wanted: Wanted, host: str = "cp-1") -> Grant:
    return asyncio.run(context.writer.run(lambda journal: grants.open_grant(journal, wanted(host), context.now())))


def claimed(context: RequestContext, grant: Grant) -> str:
    reply = ask(context, f"/agent/{grant.id}/claim", body=CLAIM)
    assert reply.status == 200, reply.body
    return TOKEN


def test_a_machine_that_says_nothing_is_asked_who_it_is(context: RequestContext) -> None:
    """The first script brings the machine back with MAC, UUID, serial and platform."""
    script = ask(context, "/boot/ipxe").body.decode()
    assert "${netX/mac}" in script
    assert "kernel" not in script


def test_unknown_machines_boot_their_disk_and_are_journaled(context: RequestContext) -> None:
    """A MAC that is in no data center file gets the local disk, and people can see that it asked."""
    assert "kernel" not in boot(context, "02:00:00:00:00:99", serial="evil; rm")
    event = context.reader.since(kind="boot.answered")[-1]
    assert (event.host, event.level, event.data["mac"]) == (None, "warning", "02:00:00:00:00:99")


def test_the_host_of_an_open_grant_gets_the_installer(context: RequestContext, wanted: Wanted) -> None:
    """With a grant: install script, kernel and initrd; and each answer is journaled with the grant's host."""
    grant = open_for(context, wanted)
    assert f"kernel http://10.20.0.2:8080/install/{grant.id}/vmlinuz" in boot(context, CP1["macs"][0])
    served = ask(context, f"/install/{grant.id}/vmlinuz")
    assert (served.status, served.headers["x-bmk-file"]) == (204, "install-kernel/1/vmlinuz")
    assert ask(context, f"/install/{grant.id}/initrd.img").status == 204
    assert [event.kind for event in context.reader.since(host="cp-1")] == [
        "grant.opened", "boot.answered", "install.served", "install.served"
    ]  # fmt: skip


def test_other_hosts_are_not_helped_by_a_grant(context: RequestContext, wanted: Wanted) -> None:
    """A grant of one host is none for the next one, neither for its script nor for its address."""
    grant = open_for(context, wanted)
    assert "kernel" not in boot(context, "52:54:00:20:00:21")
    assert ask(context, f"/install/{grant.id}/vmlinuz", client="10.20.0.21").status == 403
    assert ask(context, f"/agent/{grant.id}/claim", client="10.20.0.21", body=CLAIM).status == 403
    assert "kernel" not in boot(context, CP1["macs"][0], client="10.20.0.21")


def test_the_image_is_served_after_the_claim_only(context: RequestContext, wanted: Wanted) -> None:
    """Before the claim: kernel and initrd. After it: the image, and no second boot of the installer."""
    grant = open_for(context, wanted)
    image = f"/install/{grant.id}/image.zst"
    assert ask(context, image, token=TOKEN).status == 403
    token = claimed(context, grant)
    assert ask(context, image, token=token).headers["x-bmk-file"] == "node-image/1/image.zst"
    assert ask(context, image).status == 403
    assert ask(context, image, token=token, client="10.20.0.21").status == 403
    assert ask(context, f"/install/{grant.id}/vmlinuz").status == 403
    assert "kernel" not in boot(context, CP1["macs"][0])


def test_an_image_that_changed_in_the_mirror_is_not_served(context: RequestContext, wanted: Wanted) -> None:
    """What was granted is what is written: another digest in the mirror is refused with the reason."""
    permission = wanted("cp-1")
    other = Permission(**{**{f: getattr(permission, f) for f in permission.__slots__}, "image_sha256": "f" * 64})
    grant = asyncio.run(context.writer.run(lambda journal: grants.open_grant(journal, other, context.now())))
    assert ask(context, f"/install/{grant.id}/image.zst", token=claimed(context, grant)).status == 403
    assert context.reader.since(kind="install.refused")[-1].text.endswith("another image than the one that was granted")


@pytest.mark.parametrize("path", ["/install//vmlinuz", "/install/x/../../etc/passwd", "/install/nope/vmlinuz", "/x"])
def test_odd_paths_name_no_file(context: RequestContext, path: str) -> None:
    """What is no file of a known grant is refused before anything is looked up on disk."""
    headers = {"x-original-uri": path, "x-real-ip": "10.20.0.11"}
    assert send(context, "GET", "/authorize", headers).status == 403


def test_the_spec_is_computed_from_the_data_center(context: RequestContext, wanted: Wanted) -> None:
    """A claim returns network, disk, image and the deployer's key; the disks seen are kept as inspection."""
    grant = open_for(context, wanted)
    spec = ask(context, f"/agent/{grant.id}/claim", body={**CLAIM, "disks": [{"name": "sda"}]}).json
    assert spec["network"] == {
        "address": "10.20.0.11",
        "prefix": 16,
        "gateway": "10.20.0.1",
        "dns": ["10.20.0.3", "10.20.0.4"],
        "ntp": ["10.20.0.5", "time.example.net"],
        "mtu": 9000,
        "nics": [{"mac": "52:54:00:20:00:11", "name": "lan0"}, {"mac": "52:54:00:20:01:11", "name": "lan1"}],
    }
    assert spec["disk"] == {"serial": "DISK-0001"}
    assert spec["image"] == {
        "url": f"{context.url}/install/{grant.id}/image.zst",
        "sha256": IMAGE,
        "raw_sha256": RAW,
        "size": 7,
    }
    (line,) = spec["authorized_keys"]
    assert line.startswith(f'from="{context.dc.spec.deployer.address}')
    assert line.endswith('" ssh-ed25519 AAAAdeployer bmk')
    assert [disk["name"] for disk in context.reader.facts("cp-1")["inspection"]["disks"]] == ["sda"]


@pytest.mark.parametrize(
    "wrong", [{"serial": "SN-0002"}, {"serial": None}, {"uuid": "x"}, {"macs": []}, {"macs": None}]
)
def test_a_claim_by_another_machine_is_refused_and_costs_nothing(
    context: RequestContext, wanted: Wanted, wrong: Any
) -> None:
    """Wrong or missing facts: 403 with the reason; the grant is still there for the right machine."""
    grant = open_for(context, wanted)
    reply = ask(context, f"/agent/{grant.id}/claim", body={**CLAIM, **wrong})
    assert reply.status == 403
    assert reply.json["reason"]
    assert claimed(context, grant)


def test_without_a_deployer_key_nothing_is_claimed(context: RequestContext, wanted: Wanted) -> None:
    """A machine that nobody could log in to is not installed."""
    (context.state / "ssh" / "id_ed25519.pub").unlink()
    grant = open_for(context, wanted)
    assert ask(context, f"/agent/{grant.id}/claim", body=CLAIM).status == 403
    assert grants.get(context.reader, grant.id).claimed is None


def test_events_need_the_token_and_keep_to_their_names(context: RequestContext, wanted: Wanted) -> None:
    """Only who claimed the grant writes events; kinds of bmk itself cannot be forged; odd input is stored as text."""
    grant = open_for(context, wanted)
    token = claimed(context, grant)
    told = [
        {"kind": "image.progress", "text": "10 %", "data": {"bytes": 5}},
        {"kind": "grant.spent", "level": "error"},
        {"kind": "host.ready", "text": "Ready"},
        {"kind": "agent.failed", "text": "x", "data": {"hint": "curl | sh"}},
        {"kind": "image.progress", "data": {"bytes": "many"}},
        7,
    ]
    assert ask(context, f"/agent/{grant.id}/events", body=told).status == 403
    assert ask(context, f"/agent/{grant.id}/events", body=told, token="x" * 43).status == 403
    assert ask(context, f"/agent/{grant.id}/events", body=told, token=token).status == 200
    events = [e for e in context.reader.since(host="cp-1") if e.source == "agent"]
    assert [(e.kind, e.level) for e in events] == [
        ("image.progress", "info"),
        ("agent.said", "error"),
        ("agent.said", "info"),
        ("agent.said", "info"),
        ("agent.said", "warning"),
        ("agent.said", "warning"),
    ]
    assert (events[0].data["bytes"], events[0].data["grant"]) == (5, grant.id)
    assert all(event.data == {"grant": grant.id} for event in events[1:])


def test_done_records_the_proof_and_spends_the_grant(context: RequestContext, wanted: Wanted) -> None:
    """The report becomes the host's `installed` and `host_keys`; repeated soon, it is answered and changes nothing."""
    grant = open_for(context, wanted)
    token = claimed(context, grant)
    for _ in range(2):
        assert ask(context, f"/agent/{grant.id}/done", body=REPORT, token=token).status == 200
    facts = context.reader.facts("cp-1")
    assert facts["host_keys"] == [KEY]
    assert (facts["installed"]["image_sha256"], facts["installed"]["grant"]) == (IMAGE, grant.id)
    assert grants.get(context.reader, grant.id).outcome == "spent"
    assert len(context.reader.since(kind="agent.done")) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"image_sha256": "0" * 64},
        {"readback_sha256": ""},
        {"readback_sha256": "0" * 64},
        {"readback_sha256": IMAGE},
        {"disk_serial": "OTHER"},
        {"host_keys": []},
        {"host_keys": ["x"]},
    ],
)
def test_a_report_that_proves_nothing_fails_the_attempt(context: RequestContext, wanted: Wanted, wrong: Any) -> None:
    """Another image, another disk, no read-back or no host keys: the grant ends as failed and nothing is recorded."""
    grant = open_for(context, wanted)
    token = claimed(context, grant)
    assert ask(context, f"/agent/{grant.id}/done", body={**REPORT, **wrong}, token=token).status == 409
    assert grants.get(context.reader, grant.id).outcome == "failed"
    assert "installed" not in context.reader.facts("cp-1")
    assert "kernel" not in boot(context, CP1["macs"][0])


def test_a_failure_ends_the_attempt_with_its_words(context: RequestContext, wanted: Wanted) -> None:
    """What the ramdisk says about its failure is an error event of the host; the grant is over."""
    grant = open_for(context, wanted)
    token = claimed(context, grant)
    said = {"what": "disk DISK-0001 holds LVM", "why": "volume group vg0", "hint": "bmk provision hall --confirm cp-1"}
    assert ask(context, f"/agent/{grant.id}/failed", body=said, token=token).status == 200
    event = context.reader.since(kind="agent.failed")[-1]
    assert (event.text, event.level, event.data["why"]) == (said["what"], "error", said["why"])
    assert grants.get(context.reader, grant.id).outcome == "failed"


def test_hosts_that_the_lab_plays_may_ask_from_the_deployer(context: RequestContext, wanted: Wanted) -> None:
    """Simulated machines and containers live on this machine; real and virtual ones never ask from its address."""
    played, real = open_for(context, wanted, "played-1"), open_for(context, wanted, "cp-1")
    assert ask(context, f"/install/{played.id}/vmlinuz", client="10.20.0.2").status == 204
    assert ask(context, f"/install/{real.id}/vmlinuz", client="10.20.0.2").status == 403


def test_a_broken_journal_is_an_error_and_never_an_install(context: RequestContext, wanted: Wanted) -> None:
    """When a request cannot be journaled it is not answered with an install."""
    grant = open_for(context, wanted)
    context.writer._journal.close()
    assert ask(context, f"/boot/ipxe?mac={CP1['macs'][0]}").status == 500
    assert ask(context, f"/install/{grant.id}/vmlinuz").status == 500


def test_after_success_every_route_answers_local_disk_for_every_host(context: RequestContext, wanted: Wanted) -> None:
    """All hosts installed: every request of the whole way, replayed, gives no host an installer or a byte of it."""
    asked: list[dict[str, Any]] = []
    for host in context.dc.hosts.values():
        asked += _install(context, wanted, host.name)
    assert {event.host for event in context.reader.since(kind="grant.spent")} == set(context.dc.hosts)
    for request in asked:
        reply = ask(context, **request)
        assert b"kernel" not in reply.body
        assert "x-bmk-file" not in reply.headers
        assert reply.status == 403 or not request["target"].endswith("/claim")
    for host in context.dc.hosts.values():
        for nic in host.nics:
            assert "sanboot --no-describe --drive 0x80" in boot(context, nic.mac, str(host.address), serial=host.serial)


def _install(context: RequestContext, wanted: Wanted, name: str) -> list[dict[str, Any]]:
    """Install one host; returns all that was asked."""
    host, grant = context.dc.hosts[name], open_for(context, wanted, name)
    client = str(host.address)
    facts = {"uuid": host.uuid, "serial": host.serial, "macs": [host.mac], "token": TOKEN}
    way: list[dict[str, Any]] = [
        {"target": "/boot/ipxe"},
        {"target": f"/boot/ipxe?mac={host.mac}&serial={host.serial}"},
        {"target": f"/install/{grant.id}/vmlinuz"},
        {"target": f"/install/{grant.id}/initrd.img"},
        {"target": f"/agent/{grant.id}/claim", "body": facts},
        {"target": f"/install/{grant.id}/image.zst"},
        {"target": f"/agent/{grant.id}/events", "body": [{"kind": "image.progress"}]},
        {"target": f"/agent/{grant.id}/done", "body": {**REPORT, "disk_serial": host.disk.serial or "any"}},
    ]
    for request in way:
        request["client"] = client
        reply = ask(context, **request, token=TOKEN)
        assert reply.status in (200, 204), (request, reply)
    return way + [{**request, "token": TOKEN} for request in way]


_STEPS = st.lists(
    st.sampled_from(
        ["boot", "vmlinuz", "initrd.img", "image.zst", "claim", "events", "done", "failed", "stranger", "again"]
    ),
    max_size=12,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=_STEPS)
def test_no_order_of_requests_installs_twice(context: RequestContext, wanted: Wanted, steps: list[str]) -> None:
    """Whatever a machine asks in whatever order, a grant has one claimer, and opens nothing once it ended."""
    asyncio.run(context.writer.run(lambda journal: grants.revoke(journal, "cp-1", context.now())))
    grant = open_for(context, wanted)
    for step in steps:
        over = grants.get(context.reader, grant.id)
        reply = _step(context, grant, step)
        if over.ended is not None or over.claimed is not None:
            assert b"kernel" not in reply.body
            assert not (step in ("vmlinuz", "initrd.img") and reply.status == 204)
        if over.ended is not None:
            assert reply.status != 204
            assert step not in ("claim", "events") or reply.status == 403
        if step in ("stranger", "again"):
            assert reply.status == 403


def _step(context: RequestContext, grant: Grant, step: str) -> Answer:
    if step == "boot":
        return ask(context, f"/boot/ipxe?mac={CP1['macs'][0]}")
    if step in ("vmlinuz", "initrd.img", "image.zst"):
        return ask(context, f"/install/{grant.id}/{step}", token=TOKEN)
    if step == "again" and grants.get(context.reader, grant.id).claimed is None:
        claimed(context, grant)
    if step == "again":
        return ask(context, f"/agent/{grant.id}/claim", body={**CLAIM, "token": "u" * 43})
    if step == "stranger":
        return ask(context, f"/agent/{grant.id}/claim", client="10.20.0.66", body=CLAIM)
    bodies = {"claim": CLAIM, "events": [], "done": REPORT, "failed": {"what": "no"}}
    return ask(context, f"/agent/{grant.id}/{step}", body=bodies[step], token=TOKEN)


_EXPECTED = ("SN-0001", CP1["uuid"], "52:54:00:20:0", "10.20.0.", "DISK-0001", "cp-1")


def _wrong_claims(context: RequestContext, grant: Grant) -> list[Answer]:
    """A stranger's attempts: from elsewhere, with other facts, after the claim, with a body that is no claim."""
    there = f"/agent/{grant.id}/claim"
    wrong = [{"serial": "SN-9"}, {"uuid": None}, {"macs": ["02:00:00:00:00:01"]}, {"disks": ["x"]}, {"token": ""}]
    asked = [ask(context, there, body={**CLAIM, **one}) for one in wrong]
    asked += [ask(context, there, body=CLAIM, client="10.20.9.9"), ask(context, "/agent/nope/claim", body=CLAIM)]
    claimed(context, grant)
    return [*asked, ask(context, there, body={**CLAIM, "token": "u" * 43}), ask(context, there, body=7)]


def test_a_refusal_tells_nothing_that_was_expected(context: RequestContext, wanted: Wanted) -> None:
    """One text for every machine and every reason, without a value of the grant; the journal has all of it."""
    grant = open_for(context, wanted)
    answers = _wrong_claims(context, grant)
    assert {(answer.status, answer.body) for answer in answers} == {(403, answers[0].body)}
    assert not [value for value in (*_EXPECTED, grant.id) if str(value).encode() in answers[0].body]
    told = " ".join(event.text for event in context.reader.since(kind="agent.refused"))
    assert "SN-0001" in told
    assert "SN-9" in told


def test_a_script_and_a_file_refuse_without_a_reason(context: RequestContext, wanted: Wanted) -> None:
    """Whatever is wrong, firmware is told the same script and nginx is given no reason: no grant, no value, no id."""
    before = boot(context, CP1["macs"][0])
    grant = open_for(context, wanted)
    assert boot(context, CP1["macs"][0], serial="SN-9") == before
    assert boot(context, CP1["macs"][0], client="10.20.9.9") == before
    refused = ask(context, f"/install/{grant.id}/vmlinuz", client="10.20.9.9")
    assert (refused.status, refused.body) == (403, b"")
    assert not [name for name in refused.headers if name.startswith("x-")]
    claimed(context, grant)
    assert boot(context, CP1["macs"][0]) == before


def test_a_claim_whose_answer_was_lost_is_answered_again(context: RequestContext, wanted: Wanted) -> None:
    """The same start of the same machine gets the same bytes; every other start, address or word gets nothing."""
    grant = open_for(context, wanted)
    there = f"/agent/{grant.id}/claim"
    first = ask(context, there, body=CLAIM)
    (context.state / "ssh" / "id_ed25519.pub").write_text("ssh-ed25519 AAAAother bmk\n")
    assert ask(context, there, body=CLAIM).body == first.body
    assert ask(context, there, body={**CLAIM, "token": "u" * 43}).status == 403
    assert ask(context, there, body={**CLAIM, "firmware": "bios"}).status == 403
    assert ask(context, there, body=CLAIM, client="10.20.0.21").status == 403
    asyncio.run(context.writer.run(lambda journal: grants.revoke(journal, "cp-1", context.now())))
    assert ask(context, there, body=CLAIM).status == 403


_LATER = {"events": [{"kind": "image.progress"}], "done": REPORT, "failed": {"what": "no"}}


@pytest.mark.parametrize("verb", [*_LATER, "image.zst"])
def test_after_the_claim_only_the_claimer_is_heard(context: RequestContext, wanted: Wanted, verb: str) -> None:
    """The right token from another address, and the right address with another token, change and get nothing."""
    grant = open_for(context, wanted)
    token = claimed(context, grant)
    target = f"/install/{grant.id}/{verb}" if verb == "image.zst" else f"/agent/{grant.id}/{verb}"
    body = _LATER.get(verb)
    assert ask(context, target, body=body, token=token, client="10.20.0.21").status == 403
    assert ask(context, target, body=body, token="u" * 43).status == 403
    assert grants.get(context.reader, grant.id).ended is None
    assert not [event for event in context.reader.since(host="cp-1") if event.source == "agent"]
    assert ask(context, target, body=body, token=token).status in (200, 204)


@pytest.mark.parametrize("outcome", ["failed", "revoked", "expired", "spent"])
@pytest.mark.parametrize("verb", [*_LATER, "image.zst"])
def test_a_token_ends_with_its_grant(
    context: RequestContext, wanted: Wanted, verb: str, outcome: grants.Outcome
) -> None:
    """Once there is another attempt, the token of the first one gets and changes nothing, whatever became of that."""
    old = open_for(context, wanted)
    token = claimed(context, old)
    asyncio.run(context.writer.run(lambda journal: grants.end(journal, old.id, outcome, context.now())))
    context.now = lambda: 1000.0 + grants.GRACE
    new = open_for(context, wanted)
    asyncio.run(context.writer.run(lambda journal: journal.record("cp-1", "host_keys", ["of the new one"])))
    target = f"/install/{old.id}/{verb}" if verb == "image.zst" else f"/agent/{old.id}/{verb}"
    assert ask(context, target, body=_LATER.get(verb), token=token).status == 403
    assert context.reader.facts("cp-1")["host_keys"] == ["of the new one"]
    assert grants.get(context.reader, new.id).ended is None
    assert not [event for event in context.reader.since(host="cp-1") if event.source == "agent"]


def test_an_install_that_outlives_its_grant_a_little_is_believed(context: RequestContext, wanted: Wanted) -> None:
    """Expired while the image was being written: `done` is heard for a while, events and the image are over."""
    grant = open_for(context, wanted)
    token = claimed(context, grant)
    context.now = lambda: grant.expires + 1.0
    asyncio.run(context.writer.run(lambda journal: grants.expire(journal, context.now())))
    assert ask(context, f"/agent/{grant.id}/events", body=[], token=token).status == 403
    assert ask(context, f"/install/{grant.id}/image.zst", token=token).status == 403
    assert ask(context, f"/agent/{grant.id}/done", body=REPORT, token=token).status == 200
    assert ask(context, f"/agent/{grant.id}/done", body=REPORT, token=token).status == 200
    context.now = lambda: grant.expires + 2.0 + grants.GRACE
    assert ask(context, f"/agent/{grant.id}/done", body=REPORT, token=token).status == 403
    assert context.reader.facts("cp-1")["host_keys"] == [KEY]


def test_an_address_that_another_machine_took_speaks_for_nobody(context: RequestContext, wanted: Wanted) -> None:
    """On an attached network the kernel says whose MAC is behind an address: another one gets nothing of the host's."""
    grant = open_for(context, wanted)
    behind = {"10.20.0.11": "02:00:00:00:00:66", "10.20.250.7": CP1["macs"][0]}
    context.neighbours = SimpleNamespace(mac=behind.get)  # type: ignore[assignment]
    assert "kernel" not in boot(context, CP1["macs"][0])
    assert ask(context, f"/install/{grant.id}/vmlinuz").status == 403
    assert ask(context, f"/agent/{grant.id}/claim", body=CLAIM).status == 403
    assert "kernel" in boot(context, CP1["macs"][0], client="10.20.250.7")
    assert ask(context, f"/agent/{grant.id}/claim", body=CLAIM, client="10.20.250.7").status == 200
    assert ask(context, f"/agent/{grant.id}/events", body=[], token=TOKEN).status == 403


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([*CLAIM, *REPORT, "kind"]), inner),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(verb=st.sampled_from(["claim", "events", "done", "failed"]), changes=_ANYTHING)
@example(verb="events", changes=[{"kind": []}])
def test_no_body_breaks_the_service(context: RequestContext, wanted: Wanted, verb: str, changes: Any) -> None:
    """Whatever JSON a claimer sends: an answer that is none of our errors, and a journal that everybody can read."""
    asyncio.run(context.writer.run(lambda journal: grants.revoke(journal, "cp-1", context.now())))
    grant = open_for(context, wanted)
    token = "" if verb == "claim" else claimed(context, grant)
    base: Any = {"claim": CLAIM, "events": [], "done": REPORT, "failed": {}}[verb]
    body = {**base, **changes} if isinstance(base, dict) and isinstance(changes, dict) else changes
    text = json.dumps(body).encode()
    headers = {"x-real-ip": "10.20.0.11", "authorization": f"Bearer {token}"}
    assert send(context, "POST", f"/agent/{grant.id}/{verb}", headers, text).status in (200, 400, 403, 409)
    for event in context.reader.since(host="cp-1"):
        assert event.text.isprintable()
        assert len(event.text) < 3000
    choose_disk(context.dc.hosts["cp-1"].disk, context.reader.facts("cp-1").get("inspection"))
    assert project(context.reader, "hall", None).status("cp-1").state == "new"


def test_a_body_that_is_too_long_is_refused_before_it_is_read(context: RequestContext) -> None:
    """More than a megabyte is no honest report."""
    assert send(context, "POST", "/agent/x/done", {"x-real-ip": "10.20.0.11"}, b"[" * (MOST_BYTES + 1)).status == 413


def test_a_request_that_takes_too_long_ends(context: RequestContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal that never answers costs one request its time and the service nothing."""

    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("bmk.boot.app.DEADLINE", 0.01)
    monkeypatch.setattr(context.writer, "tell", never, raising=False)
    assert ask(context, "/boot/ipxe").status == 500
