"""The order of an install, the same for every kind of machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from bmk.agent.choose import choose_disk
from bmk.agent.errors import AgentError
from bmk.agent.hardware import Hardware
from bmk.agent.model import InstallReport, InstallSpec, MachineFacts, Order
from bmk.agent.nonces import choose, console, tpm
from bmk.agent.policy import check_foreign, check_identity, check_sectors
from bmk.agent.progress import text as words
from bmk.agent.proof import ProofKey
from bmk.agent.service import BootService, Telling
from bmk.disks import names


def install(order: Order, hardware: Hardware, service: BootService | None = None) -> InstallReport:
    """Claim the grant, write, prove, configure, report, restart. Blocks for as long as that takes.

    Every failure is told to the boot service (once the grant was claimed) and raised as AgentError.
    """
    service = service or BootService(order)
    try:
        facts = hardware.facts()
        hardware.say(f"{facts.serial or 'no serial'}, {len(facts.disks)} disks: asking {order.url} for {order.grant}")
        spec = service.claim(facts, _prove(order, hardware, service))
    except AgentError as error:
        hardware.say(_failure(error))
        raise
    return _claimed(hardware, service, facts, spec)


def _prove(order: Order, hardware: Hardware, service: BootService) -> Callable[[], None]:
    """Give the service the key of this grant; returns what to do before each try of a claim."""
    found = hardware.nonces(order.attest)
    if not found and order.attest == "tpm":
        met = tpm.obtain(hardware.tpm, order, service.challenge, hardware.say)
        service.key, service.evidence = ProofKey.derive(met.nonce, order.grant), met.evidence
        return lambda: None
    nonce = choose(found, order.attest)
    if nonce is None:
        hardware.say("nothing proves to this machine who installs it: its profile says attest: none")
        return lambda: None
    service.key = ProofKey.derive(nonce, order.grant)
    if found:
        return lambda: None
    return lambda: hardware.say(console.line(order.grant, nonce))


def _claimed(hardware: Hardware, service: BootService, facts: MachineFacts, spec: InstallSpec) -> InstallReport:
    telling = Telling(service)
    try:
        report = _write(hardware, telling, facts, spec)
        telling.close()
        service.done(report.said())
    except Exception as problem:  # whatever it is, it must be told: nobody sees this machine's screen
        error = _told(problem)
        hardware.say(_failure(error))
        telling.close()
        _tell_failure(service, error, hardware)
        raise error from problem
    hardware.say(f"installed {spec.host}: {spec.next}")
    hardware.restart(choose_disk(spec.disk, facts.disks), spec.next)
    return report


def _write(hardware: Hardware, telling: Telling, facts: MachineFacts, spec: InstallSpec) -> InstallReport:
    started = time.monotonic()
    hardware.open_for_a_look(spec)
    check_identity(facts, spec)
    disk = choose_disk(spec.disk, facts.disks)
    check_sectors(disk, facts.firmware)
    check_foreign(disk, spec)

    def progress(told: dict[str, Any]) -> None:
        hardware.say(words(told))
        telling.tell("image.progress", words(told), **told)

    _step(hardware, telling, "image.started", f"writing disk {names(disk)[0]} ({disk.size / 1e9:.1f} GB)")
    written = hardware.write(disk, spec.image, progress)
    _step(hardware, telling, "image.written", "the image is on the disk as it should be, read back and hashed")
    at = time.monotonic()
    keys = hardware.configure(disk, spec)
    configured = time.monotonic()
    _step(hardware, telling, "agent.configured", f"host name, network and ssh keys of {spec.host} are on the disk")
    order = hardware.boot_from(disk)
    if order.problem:
        _step(
            hardware, telling, "agent.said", f"the firmware does not start this disk first: {order.problem}", "warning"
        )
    seconds = {**written.seconds, "configure": round(configured - at, 2), "total": round(time.monotonic() - started, 2)}
    return InstallReport(
        disk.serial, written.image_sha256, written.readback_sha256, written.size, keys, order.labels, seconds
    )


def _step(hardware: Hardware, telling: Telling, kind: str, text: str, level: str = "info") -> None:
    hardware.say(text)
    telling.tell(kind, text, level)


def _told(problem: Exception) -> AgentError:
    if isinstance(problem, AgentError):
        return problem
    return AgentError("the install agent met something it does not know", why=f"{type(problem).__name__}: {problem}")


def _tell_failure(service: BootService, error: AgentError, hardware: Hardware) -> None:
    try:
        service.failed(error.report())
    except AgentError as unheard:
        hardware.say(_failure(unheard))


def _failure(error: AgentError) -> str:
    return "FAILED: " + "; ".join(part for part in (error.what, error.why, error.hint) if part)
