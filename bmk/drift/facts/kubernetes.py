"""What Kubernetes runs with on a host: containerd's configuration, and the certificates."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from datetime import UTC, datetime

from bmk.drift.facts.fact import Fact, Found, attributes, columns
from bmk.drift.flat import flat
from bmk.drift.kind import Rule


def _parse_containerd(lines: Sequence[str]) -> Found:
    """The configuration in force, as containerd prints it, by path of each setting."""
    try:
        said = tomllib.loads("\n".join(lines))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(str(error)) from error
    return {key: {"value": value} for key, value in flat(said).items()}


CONTAINERD = Fact(
    name="containerd",
    command=lambda _: (
        "command -v containerd >/dev/null && [ -f /etc/containerd/config.toml ] && containerd config dump"
    ),
    parse=_parse_containerd,
    baseline=attributes("value"),
    rules=(Rule("*", "*", "security"),),
)

_SOON = 30 * 86400  # seconds
_DIRECTORIES = "/etc/kubernetes/pki /var/lib/kubelet/pki"


def _parse_certificates(lines: Sequence[str]) -> Found:
    """How long each is valid, by the clock of the host."""
    now, found = int(lines[0]), {}
    for path, end in (columns(line, 2) for line in lines[1:]):
        left = _seconds(end) - now if end else 0.0
        found[path] = {"valid": left > 0, "valid_in_30_days": left > _SOON, "end": end}
    return found


def _seconds(text: str) -> float:
    """Of openssl's `Nov 27 15:00:00 2027 GMT`."""
    return datetime.strptime(text, "%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC).timestamp()


CERTIFICATES = Fact(
    name="certificates",
    command=lambda _: (
        f"date +%s; command -v openssl >/dev/null && "
        f"find {_DIRECTORIES} \\( -name '*.crt' -o -name '*-current.pem' \\) | "
        'while read -r f; do printf \'%s\\t%s\\n\' "$f" "$(openssl x509 -noout -in "$f" -enddate | cut -d= -f2)"; done'
    ),
    parse=_parse_certificates,
    baseline=attributes("valid", "valid_in_30_days"),
    next="bmk ssh {dc} {where} kubeadm certs check-expiration",
    rules=(Rule("*", "valid", "breaking"), Rule("*", "*", "degraded", "renew before it ends")),
)
