"""Where Debian packages come from on this machine. The address is read when it is needed and never kept."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
PUBLIC = ("http://deb.debian.org/debian", "http://deb.debian.org/debian-security")


@dataclass(frozen=True, slots=True)
class Mirror:
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
        """What must not be found in anything that is built: URIs other than Debian's public ones."""
        return [uri for uri in (self.main, self.security) if uri not in PUBLIC]


def find_mirror(etc: Path = Path("/etc/apt")) -> Mirror:
    """BMK_DEBIAN_MIRROR (and BMK_DEBIAN_SECURITY_MIRROR), else the mirror this machine uses, else Debian's own."""
    said = os.environ.get("BMK_DEBIAN_MIRROR")
    if said:
        return Mirror(said, os.environ.get("BMK_DEBIAN_SECURITY_MIRROR", said.rstrip("/") + "-security"))
    uris = _uris(etc)
    security = [uri for uri in uris if uri.rstrip("/").endswith("-security")]
    main = [uri for uri in uris if uri.rstrip("/").endswith("/debian")]
    return Mirror((main or list(PUBLIC[:1]))[0], (security or list(PUBLIC[1:]))[0])


def _uris(etc: Path) -> list[str]:
    files = [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*.list"))]
    text = "\n".join(path.read_text() for path in files if path.is_file())
    found = re.findall(r"^deb\s+(?:\[[^\]]*\]\s+)?(\S+)", text, re.MULTILINE)
    for path in sorted((etc / "sources.list.d").glob("*.sources")):
        for line in re.findall(r"^URIs:\s*(.+)$", path.read_text(), re.MULTILINE):
            found += line.split()
    return [uri for uri in found if uri.startswith(("http://", "https://", "file:/"))]
