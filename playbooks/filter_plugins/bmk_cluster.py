"""Filters that render kubeadm's files from a host's variables; bmk.cluster.kubeadm does it, pure and tested."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, cast

from bmk.cluster import kubeadm
from bmk.cluster.timing import PROFILES, Timing
from bmk.hardening import accounts, apiserver


def bmk_init(variables: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """Configuration of `kubeadm init`."""
    return _stream(kubeadm.init_documents(_node(variables, facts)))


def bmk_join(variables: Mapping[str, Any], facts: Mapping[str, Any], ticket: Mapping[str, Any]) -> str:
    """Configuration of `kubeadm join` with what bmk_join_ticket minted."""
    node = _node(variables, facts)
    return _stream(
        kubeadm.join_documents(node, ticket["token"], ticket["ca_hash"], ticket.get("certificate_key") or None)
    )


def bmk_upload_certs(variables: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """Configuration of `kubeadm init phase upload-certs`; the module puts the key in."""
    return _stream(kubeadm.upload_certs_documents(_node(variables, facts), "@CERTIFICATE_KEY@"))


def bmk_upgrade(variables: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """Configuration of `kubeadm upgrade`."""
    return _stream(kubeadm.upgrade_documents(_node(variables, facts)))


def bmk_patches(variables: Mapping[str, Any], facts: Mapping[str, Any]) -> list[dict[str, str]]:
    """Files of kubeadm's patches directory, as items of bmk_files."""
    found = kubeadm.patches(_node(variables, facts))
    return [
        {"path": f"{kubeadm.PATCHES}/{name}", "mode": "0600", "content": json.dumps(document, indent=2) + "\n"}
        for name, document in sorted(found.items())
    ]


def bmk_api_files(variables: Mapping[str, Any]) -> list[dict[str, str]]:
    """Directories and files that an API server is started with, as items of bmk_files."""
    cluster = json.loads(json.dumps(variables["bmk_cluster"], default=str))
    directories = [{**_owned(path), "state": "directory"} for path in (apiserver.DIRECTORY, apiserver.AUDIT_LOGS)]
    return directories + [
        {**_owned(path), "content": json.dumps(document, indent=2) + "\n"}
        for path, document in apiserver.files(cluster["kubernetes"]["version"], cluster["hardening"]).items()
    ]


def bmk_users(role: str) -> list[dict[str, Any]]:
    """Whom the static pods of a host run as, as items of bmk_users."""
    return accounts.users(role)


def bmk_owners(role: str) -> dict[str, str]:
    """The file that says whose kubeadm's files are, as an item of bmk_files."""
    return {"path": accounts.CONF, "content": accounts.tmpfiles(role)}


def _owned(path: str) -> dict[str, str]:
    owned = accounts.owned_at(path)
    return {
        "path": path,
        "mode": f"{owned.mode:04o}",
        "owner": owned.owner.name,
        "group": (owned.group or owned.owner).name,
    }


def _node(variables: Mapping[str, Any], facts: Mapping[str, Any]) -> kubeadm.Node:
    names = ("bmk_cluster", "bmk_host", "bmk_images", "bmk_timing")
    plain = {name: json.loads(json.dumps(variables[name], default=str)) for name in names if name in variables}
    return kubeadm.Node.of(plain, dict(facts))


def _stream(documents: list[dict[str, Any]]) -> str:
    return "".join(f"---\n{json.dumps(d, indent=2)}\n" for d in documents)  # JSON is YAML


def bmk_environment(timing: str) -> dict[str, str]:
    """What the Go programs of a node find in their environment."""
    return PROFILES[cast(Timing, timing)].environment


def bmk_named(name: str) -> dict[str, str]:
    """An item of a batch module that needs a name only."""
    return {"name": str(name)}


def bmk_binary(name: str, artifacts: Mapping[str, Any]) -> dict[str, Any]:
    """A program of the mirror as an item of bmk_downloads."""
    return {"dest": f"/usr/local/bin/{name}", "mode": "0755", **bmk_source(name, artifacts)}


def bmk_source(name: str, artifacts: Mapping[str, Any]) -> dict[str, Any]:
    """Where a file of the mirror is, and what it must be: the part that every item of bmk_downloads has."""
    return {key: artifacts[name][key] for key in ("url", "sha256", "size")}


FILTERS = (
    *(bmk_api_files, bmk_binary, bmk_environment, bmk_init, bmk_join, bmk_named, bmk_owners, bmk_patches),
    *(bmk_source, bmk_upgrade, bmk_upload_certs, bmk_users),
)


class FilterModule:
    """What Ansible asks a filter plug-in for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {f.__name__: f for f in FILTERS}
