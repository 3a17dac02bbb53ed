"""What a host should carry, as one digest that needs no host: roles, playbook, modules and the host's variables.

A host whose last converge left this digest has nothing pending. `bmk plan` compares the two without touching the host.
"""

from __future__ import annotations

import ast
import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from bmk.document import read_document
from bmk.paths import content_dir

PLAYBOOK = "configure.yml"
FILTERS = "filter_plugins/bmk_cluster.py"  # what the roles of the playbook render with
_NOT_STATE = ("ansible_", "bmk_digest", "bmk_vip_key_file")  # how a host is reached is not what is on it
_ONE_AT_A_TIME = (
    threading.Lock()
)  # hosts ask in many threads; ast of Python 3.11 fails there (cpython#106905), and once is enough
_NOT_CONVERGED = ("install-", "node-")  # artifacts that installing needs: new ones leave installed hosts as they are


def desired_digest(inventory: Mapping[str, Any], host: str) -> str:
    """sha256 over the content of the roles and the variables of `host` in an inventory (`--list` JSON)."""
    variables = {k: v for k, v in host_variables(inventory, host).items() if not k.startswith(_NOT_STATE)}
    files = {k: v for k, v in variables.get("bmk_artifacts", {}).items() if not k.startswith(_NOT_CONVERGED)}
    body = {"content": content_digest(), "variables": {**variables, "bmk_artifacts": files}}
    return hashlib.sha256(json.dumps(body, sort_keys=True, default=str).encode()).hexdigest()


def host_variables(inventory: Mapping[str, Any], host: str) -> dict[str, Any]:
    """The variables of a host: `all`, then its groups from the outermost in, then its own."""
    merged: dict[str, Any] = {}
    for group in _groups(inventory, host):
        merged |= inventory.get(group, {}).get("vars", {})
    own: Mapping[str, Any] = inventory.get("_meta", {}).get("hostvars", {}).get(host, {})
    return merged | dict(own)


def with_digests(inventory: Mapping[str, Any]) -> dict[str, Any]:
    """The inventory with `bmk_digest` for every host, which the play writes into the manifest."""
    hostvars = inventory.get("_meta", {}).get("hostvars", {})
    named = {host: {**values, "bmk_digest": desired_digest(inventory, host)} for host, values in hostvars.items()}
    return {**inventory, "_meta": {**inventory.get("_meta", {}), "hostvars": named}}


def content_digest() -> str:
    """sha256 of the roles, the playbook, the modules and the renderers that a converge runs."""
    with _ONE_AT_A_TIME:
        return _content_digest()


@cache
def _content_digest() -> str:
    total = hashlib.sha256()
    for path in _content():
        total.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        total.update(path.read_bytes())
    return total.hexdigest()


def _content() -> Iterator[Path]:
    package = Path(__file__).resolve().parent
    directories = [content_dir() / "roles" / role for role in roles()] + [package / "modules", package / "module_utils"]
    yield from renderers()
    yield content_dir() / "playbooks" / PLAYBOOK
    yield content_dir() / "playbooks" / FILTERS
    for directory in directories:
        yield from sorted(p for p in directory.rglob("*") if p.is_file() and "__pycache__" not in p.parts)


def roles() -> list[str]:
    """The roles that the playbook applies."""
    plays = read_document(content_dir() / "playbooks" / PLAYBOOK).value
    return [role["role"] for play in plays for role in play["roles"]]


def renderers() -> list[Path]:
    """Modules of bmk that the playbook's filters import, directly or not: a change of one changes files on hosts."""
    root = Path(__file__).resolve().parents[2]
    found: set[Path] = set()
    pending = [content_dir() / "playbooks" / FILTERS]
    while pending:
        new = {root / path for path in _imports(pending.pop()) if (root / path).is_file()} - found
        found |= new
        pending += new
    return sorted(found)


def _imports(source: Path) -> Iterator[str]:
    """Paths, below the directory of the package, of modules of bmk that a file may import."""
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}", *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            if name.startswith("bmk."):
                yield f"{name.replace('.', '/')}.py"
                yield f"{name.replace('.', '/')}/__init__.py"


def _groups(inventory: Mapping[str, Any], host: str) -> list[str]:
    """Groups that hold the host, by depth and then name, as Ansible orders them."""
    depths: dict[str, int] = {}

    def walk(group: str, depth: int) -> bool:
        body = inventory.get(group, {})
        below = [walk(child, depth + 1) for child in body.get("children", ())]  # all of them: each notes its depth
        inside = host in body.get("hosts", ()) or any(below)
        if inside:
            depths[group] = max(depth, depths.get(group, 0))
        return inside

    walk("all", 0)
    for group in inventory:
        if group not in ("_meta", "all") and group not in depths:
            walk(group, 1)
    return sorted({"all", *depths}, key=lambda g: (depths.get(g, 0), g))
