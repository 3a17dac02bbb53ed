"""The routes of the ramdisk where the grant asks for a proof: who knows the secret, and everybody else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bmk.agent.proof import HEADER, NONCE, ProofKey
from bmk.boot import grants
from bmk.boot.grants import Grant, Permission
from bmk.boot.neighbours import Neighbours
from bmk.boot.nonces import Nonces
from bmk.boot.request_context import RequestContext
from tests.unit.boot.asking import Answer, send
from tests.unit.boot.test_routes import CLAIM, KEY, REPORT, TOKEN

Wanted = Callable[[str], Permission]
STRANGER = "ssh-ed25519 " + "B" * 68 + " root@stranger"


@pytest.fixture(params=["mailbox", "media", "console"])
def grant(request: pytest.FixtureRequest, context: RequestContext, wanted: Wanted) -> Grant:
    permission = replace(wanted("cp-1"), attest=request.param)
    return asyncio.run(context.writer.run(lambda journal: grants.open_grant(journal, permission, context.now())))


@pytest.fixture
def key(context: RequestContext, grant: Grant) -> ProofKey:
    """Of the real machine: the deployer put the secret into its BMC, or read it from its console."""
    return ProofKey.derive(Nonces.of(context.reader).made(grant.id), grant.id)


def post(context: RequestContext, grant: Grant, verb: str, body: Any, key: ProofKey | None, **changes: str) -> Answer:
    """From the host's own address, with the token of the claim; `changes` of headers are what somebody changed."""
    content = json.dumps(body).encode()
    headers = {"x-real-ip": "10.20.0.11", "authorization": f"Bearer {TOKEN}"}
    headers |= {HEADER.lower(): key.request(verb, content)} if key else {}
    return send(context, "POST", f"/agent/{grant.id}/{verb}", {**headers, **changes}, content)


def test_the_machine_with_the_secret_is_installed_and_answered_with_proofs(
    context: RequestContext, grant: Grant, key: ProofKey
) -> None:
    """Claim, events and report; each answer is proven for the very request; its keys are pinned, with the way."""
    for verb, body in (("claim", CLAIM), ("events", [{"text": "here"}]), ("done", REPORT)):
        answer = post(context, grant, verb, body, key)
        assert answer.status == 200, (verb, answer.body)
        proof = key.request(verb, json.dumps(body).encode())
        assert answer.headers[HEADER.lower()] == key.answer(verb, proof, answer.body)
    facts = context.reader.facts("cp-1")
    assert (facts["host_keys"], facts["installed"]["attest"]) == ([KEY], grant.attest)


@pytest.mark.parametrize("secret", [None, bytes(NONCE)])
def test_a_stranger_with_every_identity_gets_nothing(
    context: RequestContext, grant: Grant, key: ProofKey, secret: bytes | None
) -> None:
    """MAC, address, UUID and serial are right, and it is faster: no spec, no claim; then the real machine goes on."""
    forged = ProofKey.derive(secret, grant.id) if secret else None
    refused = post(context, grant, "claim", CLAIM, forged)
    assert (refused.status, HEADER.lower() in refused.headers) == (403, False)
    assert b"image" not in refused.body
    assert b"proof" not in refused.body
    assert grants.get(context.reader, grant.id).claimed is None
    assert post(context, grant, "claim", CLAIM, key).status == 200


def test_a_stranger_who_heard_the_token_reports_no_keys(context: RequestContext, grant: Grant, key: ProofKey) -> None:
    """It reads the boot network and knows token and claim: a report with its own key is refused all the same."""
    post(context, grant, "claim", CLAIM, key)
    theirs = {**REPORT, "host_keys": [STRANGER]}
    assert post(context, grant, "done", theirs, None).status == 403
    recorded = key.request("claim", json.dumps(CLAIM).encode())
    assert post(context, grant, "done", theirs, None, **{HEADER.lower(): recorded}).status == 403
    assert "host_keys" not in context.reader.facts("cp-1")
    assert post(context, grant, "failed", {"what": "give up"}, None).status == 403
    assert grants.get(context.reader, grant.id).ended is None


def test_a_report_that_was_changed_on_its_way_is_refused(context: RequestContext, grant: Grant, key: ProofKey) -> None:
    """The proof is of the exact bytes: another key in them fits no more."""
    post(context, grant, "claim", CLAIM, key)
    honest = key.request("done", json.dumps(REPORT).encode())
    changed = {**REPORT, "host_keys": [STRANGER]}
    assert post(context, grant, "done", changed, None, **{HEADER.lower(): honest}).status == 403
    assert "host_keys" not in context.reader.facts("cp-1")


class _Table(Neighbours):
    """The kernel's table says who is behind every address."""

    def mac(self, address: str) -> str:
        return "02:00:00:00:00:66"


@pytest.mark.usefixtures("key")
def test_the_journal_names_the_stranger(context: RequestContext, grant: Grant) -> None:
    """Address and the MAC behind it, by the boot server's own table, not by what the stranger says of itself."""
    context.neighbours = _Table()
    post(context, grant, "claim", CLAIM, None)
    event = context.reader.since(host="cp-1", kind="attest.refused")[-1]
    assert "from 10.20.0.11, MAC 02:00:00:00:00:66" in event.text
    assert (event.level, event.data["client"]) == ("warning", "10.20.0.11")


def test_a_console_that_was_not_read_yet_is_no_refusal(context: RequestContext, wanted: Wanted) -> None:
    """The machine asks again until the deployer has heard it; nothing is claimed meanwhile, and who asks is told."""
    permission = replace(wanted("cp-1"), attest="console")
    grant = asyncio.run(context.writer.run(lambda journal: grants.open_grant(journal, permission, context.now())))
    key = ProofKey.derive(bytes(range(NONCE)), grant.id)
    assert post(context, grant, "claim", CLAIM, key).status == 503
    assert "10.20.0.11" in context.reader.since(host="cp-1", kind="attest.unheard")[-1].text
    Nonces.of(context.reader).keep(grant.id, bytes(range(NONCE)))
    assert post(context, grant, "claim", CLAIM, key).status == 200


def test_a_secret_of_an_older_grant_is_none(
    context: RequestContext, grant: Grant, key: ProofKey, wanted: Wanted
) -> None:
    """What is still in a BMC from the last attempt proves nothing under the next one."""
    nonce = Nonces.of(context.reader).get(grant.id)
    asyncio.run(context.writer.run(lambda journal: grants.revoke(journal, "cp-1", context.now())))
    permission = replace(wanted("cp-1"), attest=grant.attest)
    newer = asyncio.run(context.writer.run(lambda journal: grants.open_grant(journal, permission, context.now())))
    Nonces.of(context.reader).made(newer.id)
    assert nonce is not None
    assert post(context, newer, "claim", CLAIM, ProofKey.derive(nonce, newer.id)).status == 403
    assert post(context, newer, "claim", CLAIM, key).status == 403
