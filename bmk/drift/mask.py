"""Texts for people with secrets masked: what looks like one is never shown, whichever side it is on. Pure."""

from __future__ import annotations

import re
from difflib import unified_diff

_LINES = 60
_KEY = re.compile(
    r"(?im)^([ \t+\-]*[\"']?[\w./-]*(?:password|passwd|passphrase|secret|token|auth_pass|psk|api[_-]?key|"
    r"private[_-]?key|client-key-data|certificate-key)[\w-]*[\"']?\s*[:= ]\s*)(\S.*)$"
)
_FLAG = re.compile(r"(?i)(--[\w-]*(?:password|token|secret)[\w-]*(?:=|\s+))(\S+)")
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+\S+")
_TICKET = re.compile(r"\b[a-z0-9]{6}\.[a-z0-9]{16}\b")  # a bootstrap token
_URL = re.compile(r"(://[^/\s:@]+:)[^@\s/]+@")
_PEM = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
MASK = "(masked)"


def mask(text: str) -> str:
    """The text without what looks like a secret."""
    text = _PEM.sub(MASK, text)
    text = _URL.sub(rf"\1{MASK}@", text)
    text = _FLAG.sub(rf"\1{MASK}", text)
    text = _KEY.sub(rf"\1{MASK}", text)
    return _BEARER.sub(rf"\1 {MASK}", _TICKET.sub(MASK, text))


def masked_diff(path: str, want: str | None, have: str | None) -> str:
    """A unified diff; empty when one side is not known or is no text. A secret that changed is said to have."""
    if want is None or have is None or "\0" in want + have or want == have:
        return ""
    before, after = mask(want).splitlines(), mask(have).splitlines()
    lines = list(unified_diff(before, after, f"{path} (as left)", f"{path} (now)", lineterm="", n=2))
    if not lines:
        return "(only what is masked differs)"
    more = [f"... {len(lines) - _LINES} more lines"] if len(lines) > _LINES else []
    return "\n".join([*lines[:_LINES], *more])
