"""JSON Schemas for editors: committed, current, and agreeing with the loader."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from bmk.datacenter.write import SCHEMAS, schema
from bmk.paths import content_dir

INVENTORIES = content_dir() / "inventories"
REFUSED = [
    ("mtu: 9000", "mtu: 99999"),
    ("kind: redfish", "kind: redfsh"),
    ("gateway:", "gatway:"),
    ("1.37.2", "'1.37'"),
]


@pytest.mark.parametrize("kind", SCHEMAS)
def test_committed_schema_is_current(kind):
    """docs/schema holds what `bmk schema` prints; after a change of the models, write it again."""
    committed = content_dir() / "docs" / "schema" / f"{kind}.schema.json"
    assert json.loads(committed.read_text()) == schema(kind), f"bmk schema {kind} > {committed}"


@pytest.mark.parametrize("kind", SCHEMAS)
def test_schema_is_valid_draft_07(kind):
    """Editors read draft-07: the schema holds to its rules."""
    jsonschema.Draft7Validator.check_schema(schema(kind))


def _files() -> list[tuple[str, Path]]:
    kinds = {"dc.yml": "dc", "addresses.yml": "addresses"}
    found = [(kinds.get(p.name, "hosts"), p) for p in INVENTORIES.rglob("*.yml")]
    return sorted(found, key=str)


@pytest.mark.parametrize(("kind", "path"), _files(), ids=str)
def test_shipped_files_satisfy_the_schema(kind, path):
    """What the loader accepts, an editor shows without a mark."""
    jsonschema.Draft7Validator(schema(kind)).validate(_as_editors_read(path.read_text()))


@pytest.mark.parametrize(("old", "new"), REFUSED)
def test_editor_marks_what_the_loader_refuses(old, new):
    """Unknown keys, wrong words, numbers out of range and short versions are marked while typing."""
    text = (INVENTORIES / "example" / "dc.yml").read_text().replace(old, new)
    assert not jsonschema.Draft7Validator(schema("dc")).is_valid(_as_editors_read(text))


def _as_editors_read(text: str) -> object:
    return yaml.safe_load(text)
