"""Names and tests of modules: one name is one class, and a module has a test or a reason."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

# Ansible finds the class of a plug-in by its name.
NAMED_BY_ANSIBLE = ("action", "callback", "connection", "modules", "strategy")

# Modules that no unit test imports, and what tries them instead. A pattern without such a module is an error.
UNTESTED = {
    "bmk.__main__": "one line; every test of a command line by subprocess runs it",
    "bmk.*.__main__": "an entry point; the stages that start the program run it",
    "bmk.agent.*": "runs against disks and a boot service in tests/services/agent and tests/machines",
    "bmk.ansible.*": "runs by Ansible in tests/services/ansible, in containers and in molecule",
    "bmk.artifacts.node.pack_stdlib": "its result, the ramdisk, boots in tests/services/images and tests/machines",
    "bmk.artifacts.node_image": "needs a Debian mirror; tests/services/images builds it",
    "bmk.artifacts.pins": "every test of artifacts.build goes through it",
    "bmk.backup.*": "restores real backups and asks real servers in tests/services/backup",
    "bmk.bmc.*": "real clients against recorded and emulated BMCs in tests/services/bmc",
    "bmk.boot.*": "reached through the routes of the boot service, in tests/unit/boot and tests/services/boot",
    "bmk.certificates.on_node": "reads files and processes of this machine in tests/services/certificates",
    "bmk.certificates.dial": "dials real TLS servers in tests/services/certificates",
    "bmk.certificates.kinds*": "data; every test of standings goes through it",
    "bmk.cli.*": "commands are run by their names, in tests/unit/cli and in services",
    "bmk.cluster.anonymous": "asks real API servers in tests/services/cluster",
    "bmk.cluster.api.*": "reached through bmk.cluster.api, in tests/unit/cluster and with real API servers",
    "bmk.cluster.kubelet": "every test of kubeadm's documents renders it",
    "bmk.cluster.policy_proof": "needs pods: tests/containers/cluster",
    "bmk.cluster.timing": "data; every test of kubeadm's documents renders it",
    "bmk.datacenter.checks*": "every wrong file of tests/unit/datacenter/test_checks.py goes through them",
    "bmk.datacenter.source": "reached through loading, in tests/unit/datacenter",
    "bmk.drift.*": "reached through collecting, in tests/unit/drift and tests/services/drift",
    "bmk.encryption.answer": "asks a real control plane in tests/services/encryption",
    "bmk.encryption.on_node": "reads and writes files of a real control plane in tests/services/encryption",
    "bmk.hardening.control*": "each control is tried by its id in tests/unit/hardening",
    "bmk.hardening.on_node": "reads a real node in tests/containers/hardening",
    "bmk.journal.*": "reached through Journal, in tests/unit/journal",
    "bmk.lab.bmc.*": "emulators, tried by the real clients in tests/services/bmc",
    "bmk.lab.host.*": "needs namespaces of its own: tests/services/lab",
    "bmk.lab.lifecycle": "starts a lab: tests/services/lab",
    "bmk.lab.machines.*": "needs machines: tests/services/lab, tests/containers and tests/machines",
    "bmk.lab.servers": "starts a lab: tests/services/lab",
    "bmk.lab.services": "starts a lab: tests/services/lab",
    "bmk.lab.supervisor": "starts a lab: tests/services/lab",
    "bmk.live.*": "the real services: tests/services and tests/containers",
    "bmk.phases.*": "run by the executor on the data center in memory, in tests/unit/engine and tests/unit/phases",
    "bmk.secrets.*": "reached through the secret store, in tests/unit/secrets, and through TLS in services",
    "bmk.verify.*": "runs in the pytest that bmk verify starts: tests/containers/verify",
}


def _modules() -> dict[str, Path]:
    """Modules of bmk with more than a docstring, by dotted name."""
    found = {}
    for path in (ROOT / "bmk").rglob("*.py"):
        if len(ast.parse(path.read_text()).body) > 1:
            found[".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")] = path
    return found


def _imported() -> set[str]:
    """Names that unit tests, and what they share, import from bmk; modules among them."""
    files = [*(ROOT / "tests/unit").rglob("*.py"), *(ROOT / "tests").glob("*.py")]
    found = set()
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            elif isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
    return found


def _classes() -> Iterator[tuple[str, str]]:
    for name, path in _modules().items():
        if not name.startswith(tuple(f"bmk.ansible.{part}." for part in NAMED_BY_ANSIBLE)):
            tree = ast.parse(path.read_text())
            yield from ((node.name, name) for node in tree.body if isinstance(node, ast.ClassDef))


def test_one_name_is_one_class() -> None:
    """Who reads the name of a class knows which one it is; names with an underscore are their module's own."""
    found = defaultdict(set)
    for name, module in _classes():
        if not name.startswith("_"):
            found[name].add(module)
    assert {name: sorted(modules) for name, modules in found.items() if len(modules) > 1} == {}


def test_a_module_has_a_unit_test_or_a_reason() -> None:
    """A new module that no unit test imports is found, unless a line above says what tries it instead."""
    untested = set(_modules()) - _imported()
    unexplained = {name for name in untested if not any(fnmatch(name, pattern) for pattern in UNTESTED)}
    assert sorted(unexplained) == []


def test_every_reason_is_needed() -> None:
    """A line for modules that have their tests by now is gone."""
    untested = set(_modules()) - _imported()
    assert [pattern for pattern in UNTESTED if not any(fnmatch(name, pattern) for name in untested)] == []
