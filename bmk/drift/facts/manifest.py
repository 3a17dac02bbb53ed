"""The manifest that the last converge left on the host. Believed only when it is sealed (bmk/drift/baseline.py).

Whoever owns the host may have written it: what is sealed of it and compared for ever after has the shape of ours.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, model_validator

from bmk.drift.facts.fact import Fact, Found, Wanted

Leaf = str | int | float | bool | None
Value = Leaf | list[Leaf] | dict[str, Leaf]
_KEYS = {"files": "path", "downloads": "dest"}  # what names an item, by kind; `name` for the others


class _Item(BaseModel):
    """What a role set, as its batch module records it: a name, what was desired, and a few flags."""

    model_config = ConfigDict(extra="allow", strict=True)
    __pydantic_extra__: dict[str, Value]

    desired: dict[str, Value]


class _Section(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    inputs: str
    items: list[_Item]


class _Manifest(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    sections: dict[str, _Section]

    @model_validator(mode="after")
    def named(self) -> _Manifest:
        for section, body in self.sections.items():
            key = _KEYS.get(section.rpartition(".")[2], "name")
            if not all(isinstance((item.model_extra or {}).get(key), str) for item in body.items):
                raise ValueError(f"an item of {section[:80]!r} has no {key}")
        return self


def command(_: Wanted) -> str:
    return "[ -f /etc/bmk/manifest.json ] && cat /etc/bmk/manifest.json"


def parse(lines: Sequence[str]) -> Found:
    text = "\n".join(lines).strip()
    return {"manifest": _Manifest.model_validate_json(text).model_dump()} if text else {}


FACT = Fact("manifest", command, parse)
