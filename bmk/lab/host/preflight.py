"""Preflight checks of this machine: permissions and programs that a lab needs, before anything is made."""

from __future__ import annotations

import os

from bmk import programs
from bmk.datacenter.hosts import programs_of
from bmk.datacenter.resolve import DataCenter
from bmk.errors import PreflightRefused
from bmk.lab.host.probe import why_no_namespaces

_NEED_ROOT = {
    "container": "system containers need root, as kind's do",
    "simulated": "simulated machines answer ssh as root, which an ordinary user cannot",
}


def preflight(dc: DataCenter) -> None:
    """Takes milliseconds. Raises PreflightRefused: root is needed, or a program is not installed."""
    kinds = {str(host.profile.lab.kind) for host in dc.hosts.values() if host.profile.lab is not None}
    if kinds and os.geteuid() != 0:
        _refuse_what_needs_root(dc, kinds)
    programs.require(programs_of(dc))


def _refuse_what_needs_root(dc: DataCenter, kinds: set[str]) -> None:
    for kind in sorted(kinds & set(_NEED_ROOT)):
        hint = "the same command with sudo, or a lab of virtual machines only, such as the lab named `lab`"
        raise PreflightRefused(_NEED_ROOT[kind], where=dc.name, hint=hint)
    if why := why_no_namespaces():
        hint = "the same command with sudo, or let ordinary users make user namespaces"
        raise PreflightRefused("the lab needs namespaces of its own", where=dc.name, why=why, hint=hint)
