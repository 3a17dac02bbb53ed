"""Certificates of Kubernetes and how long they hold."""

from __future__ import annotations

from collections.abc import Sequence

from bmk.drift.facts.fact import Fact, Found, Wanted, columns

SOON = 30 * 86400  # seconds
_WHERE = "/etc/kubernetes/pki /var/lib/kubelet/pki"


def command(_: Wanted) -> str:
    check = 'openssl x509 -noout -in "$f" -checkend'
    return (
        f"command -v openssl >/dev/null && find {_WHERE} \\( -name '*.crt' -o -name '*-current.pem' \\) | "
        f"while read -r f; do {check} 0 >/dev/null && n=yes || n=no; {check} {SOON} >/dev/null && s=yes || s=no; "
        'printf \'%s\\t%s\\t%s\\t%s\\n\' "$f" $n $s "$(openssl x509 -noout -in "$f" -enddate | cut -d= -f2)"; done'
    )


def parse(lines: Sequence[str]) -> Found:
    found: Found = {}
    for line in lines:
        path, now, soon, end = columns(line, 4)
        found[path] = {"valid": now == "yes", "valid_in_30_days": soon == "yes", "end": end}
    return found


FACT = Fact("certificates", command, parse)
