"""JSON Schemas of the files that people write, for editors. Generated from the models; docs/schema/ holds copies."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from bmk.datacenter.draft import Allocations
from bmk.datacenter.model import DataCenterFile, HostSpec

_DIALECT = "http://json-schema.org/draft-07/schema#"  # the newest that yaml-language-server reads


def schema(kind: str) -> dict[str, Any]:
    """The schema of `dc` (dc.yml), `hosts` (a rack's file) or `addresses` (addresses.yml)."""
    generated = {"dc": _datacenter, "hosts": _hosts, "addresses": _addresses}[kind]()
    return {"$schema": _DIALECT, **generated}


KINDS = ("dc", "hosts", "addresses")


def _datacenter() -> dict[str, Any]:
    generated = DataCenterFile.model_json_schema()
    hosts = generated["$defs"]["Rack"]["properties"]["hosts"]
    listing = {key: hosts.pop(key) for key in ("type", "items")}
    hosts["anyOf"] = [listing, {"type": "string", "pattern": r"\.ya?ml$"}]
    return generated


def _hosts() -> dict[str, Any]:
    generated = TypeAdapter(list[HostSpec]).json_schema()
    return {"title": "Hosts of a rack", **generated}


def _addresses() -> dict[str, Any]:
    return Allocations.model_json_schema()
