"""Certificates of Kubernetes and how long they hold."""

from __future__ import annotations

import calendar
import time
from collections.abc import Sequence

from bmk.drift.facts.fact import Fact, Found, Wanted, columns

SOON = 30 * 86400  # seconds
_WHERE = "/etc/kubernetes/pki /var/lib/kubelet/pki"


def command(_: Wanted) -> str:
    """The host's time, then one openssl for each: it takes as long as all the rest of a file's facts."""
    end = '"$(openssl x509 -noout -enddate -in "$f")"'
    return (
        f"command -v openssl >/dev/null && date +%s && "
        f"find {_WHERE} \\( -name '*.crt' -o -name '*-current.pem' \\) | "
        f"while read -r f; do printf '%s\\t%s\\n' \"$f\" {end}; done"
    )


def parse(lines: Sequence[str]) -> Found:
    found: Found = {}
    for line in lines[1:]:
        path, said = columns(line, 2)
        end = said.removeprefix("notAfter=")
        left = _seconds(end) - int(lines[0]) if end else 0  # what cannot be read does not hold
        found[path] = {"valid": left > 0, "valid_in_30_days": left > SOON, "end": end}
    return found


def _seconds(end: str) -> int:
    return calendar.timegm(time.strptime(end, "%b %d %H:%M:%S %Y GMT"))


FACT = Fact("certificates", command, parse)
