"""Objects of a restored cluster, read through its scratch API server: of every kind, some at random, all decrypted."""

from __future__ import annotations

import json
import random
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bmk.backup.refusal import refused
from bmk.errors import ODD

_LARGEST = 256 << 20  # bytes of one answer
_PAGE = 200  # objects of one answer
_SECONDS = 120.0
_SERVERS = "/apis/apiregistration.k8s.io/v1/apiservices"
_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@dataclass(frozen=True, slots=True)
class Reading:
    """How much was read: objects one by one, secrets decrypted, kinds listed."""

    objects: int
    secrets: int
    kinds: int


@dataclass(frozen=True, slots=True)
class ScratchApi:
    """The API server on the loopback, with the token and certificate that were made for it."""

    port: int
    token: str
    certificate: Path

    def ready(self) -> bool:
        """Whether it can be asked. One that cannot read secrets waits for itself without end: what it says of them is
        the answer then.
        """
        try:
            return self._open("/readyz") == b"ok"
        except urllib.error.HTTPError:
            return self._cannot_decrypt()
        except OSError:
            return False

    def _cannot_decrypt(self) -> bool:
        try:
            self._open("/api/v1/secrets?limit=1")
        except urllib.error.HTTPError as error:
            return error.code == 500 and b"not transformable" in error.read(2000)
        except OSError:
            pass
        return False

    def get(self, path: str) -> Any:
        """One answer. urllib's errors are OSError; ValueError when it is no JSON."""
        return json.loads(self._open(path))

    def _open(self, path: str) -> bytes:
        context = ssl.create_default_context(cafile=str(self.certificate))
        handlers = urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        headers = {"Authorization": f"Bearer {self.token}", "Accept": "application/json"}
        request = urllib.request.Request(f"https://127.0.0.1:{self.port}{path}", headers=headers)
        with urllib.request.build_opener(*handlers).open(request, timeout=_SECONDS) as answer:
            body: bytes = answer.read(_LARGEST)
            return body


@dataclass(frozen=True, slots=True)
class _Kind:
    """A resource: where its objects are listed. `converted`: by a webhook of the cluster, which is not here."""

    root: str
    name: str
    namespaced: bool
    converted: bool

    def path(self, meta: Mapping[str, Any]) -> str:
        """Of one of its objects. Names of roles may have blanks and any letter."""
        place = f"/namespaces/{quote(meta['namespace'], safe='')}" if self.namespaced else ""
        return f"{self.root}{place}/{self.name}/{quote(meta['name'], safe='')}"


def read_objects(api: ScratchApi, revision: int, wanted: int, encrypted: Callable[[str, str], bool]) -> Reading:
    """List every kind, all secrets, and read `wanted` objects that were there at `revision`, chosen at random.

    `encrypted` says of a secret whether etcd holds it so. Raises BackupRefused for what cannot be read.
    """
    try:
        kinds = list(_kinds(api))
        secrets = sum(_decrypt(api, revision, encrypted))
        found = [(kind, meta) for kind in kinds for meta in _listed(api, kind, revision)]
        for kind, meta in random.SystemRandom().sample(found, min(wanted, len(found))):
            one = _ask(api, kind.path(meta), converted=kind.converted) or {}
            if one["metadata"]["uid"] != meta["uid"]:
                raise refused("unreadable", f"{kind.path(meta)} is another object")
    except ODD as error:
        raise refused("unreadable", f"an answer of the API server is odd: {type(error).__name__}") from error
    if not found:
        raise refused("unreadable", "the API server knows no object that was there at the revision of the snapshot")
    return Reading(min(wanted, len(found)), secrets, len(kinds))


def _kinds(api: ScratchApi) -> Iterator[_Kind]:
    """All that this etcd holds: not what servers of the cluster answer for, as metrics-server does."""
    elsewhere, converted = _elsewhere(api), _converted(api)
    groups = [("", "/api/v1")]
    for group in _ask(api, "/apis")["groups"]:
        version = group["preferredVersion"]["groupVersion"]
        if version not in elsewhere:
            groups.append((group["name"], f"/apis/{version}"))
    for name, root in groups:
        for one in _ask(api, root)["resources"]:
            if "/" not in one["name"] and {"list", "get"} <= set(one["verbs"]):
                yield _Kind(root, one["name"], one["namespaced"], (name, one["name"]) in converted)


def _elsewhere(api: ScratchApi) -> set[str]:
    """Versions of groups for which a Service of the cluster answers."""
    specs = [one["spec"] for one in _ask(api, _SERVERS)["items"]]
    return {f"{spec['group']}/{spec['version']}" for spec in specs if spec.get("service")}


def _converted(api: ScratchApi) -> set[tuple[str, str]]:
    """Group and name of the resources that a webhook converts between their versions."""
    specs = [one["spec"] for one in _ask(api, _DEFINITIONS)["items"]]
    by_webhook = [spec for spec in specs if spec.get("conversion", {}).get("strategy") == "Webhook"]
    return {(spec["group"], spec["names"]["plural"]) for spec in by_webhook}


def _decrypt(api: ScratchApi, revision: int, encrypted: Callable[[str, str], bool]) -> Iterator[int]:
    """1 for each secret that is encrypted in etcd and was read; all are read, a few are looked up in etcd."""
    after, first = "", True
    while first or after:
        page = _ask(api, f"/api/v1/secrets?limit={_PAGE}&continue={after}")
        metas = [one["metadata"] for one in page["items"] if _old(one["metadata"], revision)]
        if metas:
            sample = random.SystemRandom().sample(metas, min(3, len(metas)))
            good = all(encrypted(meta["namespace"], meta["name"]) for meta in sample)
            yield len(metas) if good else 0
        after, first = page["metadata"].get("continue", ""), False


def _listed(api: ScratchApi, kind: _Kind, revision: int) -> list[Mapping[str, Any]]:
    page = _ask(api, f"{kind.root}/{kind.name}?limit={_PAGE}", converted=kind.converted)
    return [one["metadata"] for one in (page or {}).get("items", ()) if _old(one["metadata"], revision)]


def _old(meta: Mapping[str, Any], revision: int) -> bool:
    """Whether an object came with the backup: the scratch API server makes some itself."""
    return 0 < int(meta.get("resourceVersion") or 0) <= revision


def _ask(api: ScratchApi, path: str, *, converted: bool = False) -> Any:
    """An answer; None where a webhook of the cluster would be asked, which is not here."""
    try:
        return api.get(path)
    except urllib.error.HTTPError as error:
        if converted:
            return None
        why = error.read(2000).decode(errors="replace")
        said = "decrypted" if "/secrets" in path else "read"
        raise refused(
            "unreadable", f"{path.partition('?')[0]} cannot be {said}: {error.code} {_message(why)}"
        ) from error
    except OSError as error:
        raise refused("unreadable", f"{path.partition('?')[0]}: {error}") from error


def _message(body: str) -> str:
    try:
        return str(json.loads(body)["message"])[:200]
    except ODD:
        return ""
