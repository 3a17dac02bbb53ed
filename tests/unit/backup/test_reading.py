"""Which paths of a restored API are asked."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import pytest

from bmk.backup.reading import ScratchApi, read_objects

NAMES = ("with blanks", "ü", "a?b#c", "system:node")


class _Api(ScratchApi):
    """Answers as an API server does that knows roles only; a path that no HTTP request can have is an error."""

    def get(self, path: str) -> Any:
        assert path.isascii()
        assert " " not in path
        kind = {"name": "roles", "namespaced": True, "verbs": ["list", "get"]}
        metas = [{"name": n, "namespace": "x", "uid": n, "resourceVersion": "1"} for n in NAMES]
        if path == "/apis":
            return {"groups": [{"name": "g", "preferredVersion": {"groupVersion": "g/v1"}}]}
        if path in ("/api/v1", "/apis/g/v1"):
            return {"resources": [kind] if "g" in path else []}
        place, _, name = path.partition("/namespaces/x/roles/")
        if name:
            return {"metadata": next(meta for meta in metas if meta["name"] == unquote(name))}
        return {
            "items": [{"metadata": m} for m in metas] if place.startswith("/apis/g/v1/roles?") else [],
            "metadata": {},
        }


@pytest.fixture
def api(tmp_path: Any) -> ScratchApi:
    return _Api(1, "", tmp_path)


def test_objects_of_any_name_are_read(api: ScratchApi) -> None:
    """Roles may be named with blanks and letters of any script."""
    assert read_objects(api, 1, 100, lambda *_: True).objects == len(NAMES)
