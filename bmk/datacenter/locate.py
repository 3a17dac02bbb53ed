"""Find the file of the data center that a user names. No heavy imports: shell completion runs this."""

from __future__ import annotations

import re
from difflib import get_close_matches
from pathlib import Path

from bmk.errors import ConfigError
from bmk.paths import content_dir

FILE = "dc.yml"
_HOST = re.compile(r"""(?:^|[\s{,])name:\s*["']?([a-z0-9][a-z0-9-]*)""", re.MULTILINE)
_LIST_FILE = re.compile(r"""hosts:\s*["']?([^\s"'\[\]{},#]+\.ya?ml)""")


def find_datacenter(ref: str | Path) -> Path:
    """The file of a data center: `ref` is a name below inventories/ (here, then bmk's own), a directory or a file.

    Raises ConfigError, with the nearest name, when there is none.
    """
    path = Path(ref)
    looks_like_name = len(path.parts) == 1 and not path.suffix
    places = [root / path / FILE for root in _roots()] if looks_like_name else []
    found = next((file for file in (*places, path / FILE, path) if file.is_file()), None)
    if found is None:
        raise _not_found(str(ref), looks_like_name)
    return found


def datacenter_names() -> list[str]:
    """Names that `find_datacenter` knows, sorted."""
    return sorted({file.parent.name for root in _roots() for file in root.glob(f"*/{FILE}")})


def host_names(dc_file: Path) -> list[str]:
    """Names of hosts, found in the text without parsing it: shell completion has to answer within 150 ms."""
    text = dc_file.read_text(encoding="utf-8", errors="replace")
    parts = [text.partition("racks:")[2]]
    for name in _LIST_FILE.findall(text):
        rack = dc_file.parent / name
        if rack.is_file() and rack.resolve().is_relative_to(dc_file.parent.resolve()):
            parts.append(rack.read_text(encoding="utf-8", errors="replace"))
    return sorted({name for part in parts for name in _HOST.findall(part)})


def _roots() -> list[Path]:
    return list(dict.fromkeys([Path.cwd() / "inventories", content_dir() / "inventories"]))


def _not_found(ref: str, looks_like_name: bool) -> ConfigError:
    names = datacenter_names()
    near = get_close_matches(ref, [name for name in names if name != ref], n=1)
    if near:
        hint = f"did you mean {near[0]!r}?"
    elif looks_like_name:
        hint = f"bmk init {ref}, or one of: {', '.join(names)}" if names else f"bmk init {ref}"
    else:
        hint = f"give a name below inventories/ or the path of a {FILE}"
    return ConfigError(f"there is no data center {ref!r}", why=f"looked in {', '.join(map(str, _roots()))}", hint=hint)
