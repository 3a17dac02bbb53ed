"""Where Debian packages come from on this machine. The address is read when it is needed and never kept."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from bmk.errors import PreflightRefused

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


@dataclass(frozen=True, slots=True)
class DebianMirror:
    """Two URIs: packages, and security updates."""

    main: str
    security: str

    def lines(self, suite: str, components: str = "main") -> list[str]:
        """sources.list lines for `suite` with its updates."""
        options = f"[signed-by={KEYRING}]"
        return [
            f"deb {options} {self.main} {suite} {components}",
            f"deb {options} {self.main} {suite}-updates {components}",
            f"deb {options} {self.security} {suite}-security {components}",
        ]

    def private(self) -> list[str]:
        """What must not be found in anything that is built."""
        return [self.main, self.security]


def find_mirror(etc: Path = Path("/etc/apt")) -> DebianMirror:
    """BMK_DEBIAN_MIRROR (and BMK_DEBIAN_SECURITY_MIRROR), else the mirror that this machine's apt uses.

    PreflightRefused when there is neither.
    """
    said = os.environ.get("BMK_DEBIAN_MIRROR")
    if said:
        return DebianMirror(said, os.environ.get("BMK_DEBIAN_SECURITY_MIRROR", _security(said)))
    uris = _uris(etc)
    security = [uri for uri in uris if uri.rstrip("/").endswith("-security")]
    main = [uri for uri in uris if uri.rstrip("/").endswith("/debian")]
    if not main:
        hint = "BMK_DEBIAN_MIRROR=URI bmk artifacts build"
        raise PreflightRefused("no Debian mirror is known", where=str(etc), why="apt has no source", hint=hint)
    return DebianMirror(main[0], security[0] if security else _security(main[0]))


def _security(main: str) -> str:
    """Where mirrors keep security updates: beside the packages."""
    return main.rstrip("/") + "-security"


def _uris(etc: Path) -> list[str]:
    files = [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*.list"))]
    text = "\n".join(path.read_text() for path in files if path.is_file())
    found = re.findall(r"^deb\s+(?:\[[^\]]*\]\s+)?(\S+)", text, re.MULTILINE)
    for path in sorted((etc / "sources.list.d").glob("*.sources")):
        for line in re.findall(r"^URIs:\s*(.+)$", path.read_text(), re.MULTILINE):
            found += line.split()
    return [uri for uri in found if uri.startswith(("http://", "https://", "file:/"))]
