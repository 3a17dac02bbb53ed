"""What a kubelet runs with (its `configz`, through the API) against the file it was given, as that was sealed. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bmk.document import parse_document
from bmk.drift.flat import flat
from bmk.drift.model import Attributes

CONFIG = "/var/lib/kubelet/config.yaml"
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:h|ms|m|s|us|ns))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s|us|ns)")
_OWN = ("apiVersion", "kind")
_DEFAULT = ("", "0", "0s")  # what kubeadm writes for "the default"
_ZEROS = ("readOnlyPort",)  # a 0 that is meant


def desired_settings(text: str) -> dict[str, Attributes]:
    """Settings that the file names, by their path, as text. Raises NotYaml when it is no configuration."""
    said = flat(parse_document(text, Path(CONFIG)).value)
    plain = {key: _plain(value) for key, value in said.items() if key not in _OWN}
    return {key: {"value": value} for key, value in plain.items() if value not in _DEFAULT or key in _ZEROS}


def live_settings(wanted: Mapping[str, Attributes], live: Mapping[str, Any]) -> dict[str, Attributes]:
    """The same settings as the kubelet has them. What it leaves out is the zero of its kind: Go does not print it."""
    said = {key: _plain(value) for key, value in flat(live).items()}
    zeros = {key: a["value"] if a["value"] in ("false", "0") else "" for key, a in wanted.items()}
    return {key: {"value": said.get(key, zero)} for key, zero in zeros.items()}


def _plain(value: Any) -> str:
    """As text; `5m` and `5m0s` are the same."""
    text = str(value).lower() if isinstance(value, bool) else "" if value in (None, {}) else str(value)
    if not _DURATION.fullmatch(text):
        return text
    return f"{sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text)):g}s"
