"""Certificates of Kubernetes and how long they hold, by the host's own clock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from bmk.drift.facts.fact import Fact, Found, Wanted, columns

SOON = 30 * 86400  # seconds
_WHERE = "/etc/kubernetes/pki /var/lib/kubelet/pki"


def command(_: Wanted) -> str:
    return (
        f"date +%s; command -v openssl >/dev/null && find {_WHERE} \\( -name '*.crt' -o -name '*-current.pem' \\) | "
        'while read -r f; do printf \'%s\\t%s\\n\' "$f" "$(openssl x509 -noout -in "$f" -enddate | cut -d= -f2)"; done'
    )


def parse(lines: Sequence[str]) -> Found:
    now, found = int(lines[0]), {}
    for path, end in (columns(line, 2) for line in lines[1:]):
        left = _seconds(end) - now if end else 0.0
        found[path] = {"valid": left > 0, "valid_in_30_days": left > SOON, "end": end}
    return found


def _seconds(text: str) -> float:
    """Of openssl's `Nov 27 15:00:00 2027 GMT`."""
    return datetime.strptime(text, "%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC).timestamp()


FACT = Fact("certificates", command, parse)
