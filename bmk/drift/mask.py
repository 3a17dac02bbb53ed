"""Texts for people with secrets masked: whatever looks like a secret is not shown. Pure."""

from __future__ import annotations

import re
from difflib import unified_diff
from math import log2

_LINES = 60
MASK = "(masked)"
_WORD = (
    r"(?:password|passwd|passphrase|secret|token|auth_?pass|psk|api[_-]?key|access[_-]?key|private[_-]?key|"
    r"account[_-]?key|signing[_-]?key|encryption[_-]?key|credential|client-key-data|certificate-key)"
)
# From the start of a word only, and bounded behind: hosts choose the texts, and the cost must not be quadratic in them.
_NAME = rf"(?<![\w./-])[\"']?[\w./-]*{_WORD}[\w.-]{{0,100}}[\"']?"

# Whole blocks first, then names with a value, then values that show by their form what they are.
_PEM = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
_YAML_BLOCK = re.compile(rf"(?im)^([ ]*)((?:- )?{_NAME}:[ ]*[|>][-+0-9]*[ ]*\n)((?:\1[ ]+[^\n]*(?:\n|\Z)|[ ]*\n)+)")
_URL = re.compile(r"(://[^/\s:@]*:)[^@\s/]+@")
_NAMED = re.compile(rf"(?i)({_NAME}[ \t]*[:=][ \t]*)(\S[^\n]*)")
_FLAG = re.compile(rf"(?i)(--[\w-]*{_WORD}[\w-]*[ \t]+)(\S+)")
_SPACED = re.compile(rf"(?im)(^[ \t+\-]*{_NAME}[ \t]+|\b(?:password|passwd|auth_pass|account)[ \t]+)(\S[^\n]*)")
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+\S+")
_DOCKER_AUTH = re.compile(r"""(?i)(["']auth["'][ \t]*:[ \t]*["'])([^"'\n]+)""")
_SHAPES = (
    re.compile(r"\b[a-z0-9]{6}\.[a-z0-9]{16}\b"),  # a bootstrap token of Kubernetes
    re.compile(r"(?<![\w-])eyJ[\w-]{5,}\.[\w-]{5,}(?:\.[\w-]*)?"),  # a JSON Web Token
    re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),  # a key id of AWS
    re.compile(
        r"(?<![\w-])(?:gh[pousr]_|github_pat_|glpat-|xox[abprs]-|sk-|hvs\.|npm_)[\w-]{16,}"
    ),  # tokens of services
    re.compile(r"AGE-SECRET-KEY-1[A-Z0-9]{40,}", re.IGNORECASE),
    re.compile(r"\$(?:[0-9][a-z]?|y|gy|sha1|apr1|argon2[a-z]*)\$[./A-Za-z0-9=,$+-]{16,}"),  # of crypt(3)
)
_BLOB = re.compile(r"(?<![\w+/=-])[\w+/-]{40,}={0,2}(?![\w+/=-])")
_PUBLIC = ("AAAA", "LS0tLS1CRUdJTiBDRVJU")  # an ssh public key; "-----BEGIN CERT" in base64
_RANDOM = 4.5  # bits a character: words, paths and digests in hexadecimal have less, 256 random bits in base64 more


def mask(text: str) -> str:
    """The text without what looks like a secret, by its name or by its own form."""
    text = _PEM.sub(MASK, text)
    text = _YAML_BLOCK.sub(rf"\1\2\1  {MASK}\n", text)
    text = _kubernetes_secrets(text)
    text = _URL.sub(rf"\1{MASK}@", text)
    for named in (_NAMED, _FLAG, _SPACED, _DOCKER_AUTH):
        text = named.sub(rf"\1{MASK}", text)
    text = _BEARER.sub(rf"\1 {MASK}", text)
    for shape in _SHAPES:
        text = shape.sub(MASK, text)
    return _BLOB.sub(lambda found: MASK if _is_random(found[0]) else found[0], text)


def _kubernetes_secrets(text: str) -> str:
    """Values below `data` and `stringData`, whatever their names, where a Secret is described."""
    if not re.search(r"""(?m)^[ \t-]*["']?kind["']?:[ \t]*["']?Secret\b""", text):
        return text
    shown, depth = [], -1
    for line in text.splitlines(keepends=True):
        indent, said = len(line) - len(line.lstrip(" ")), bool(line.strip())
        if depth >= 0 and indent > depth and said:
            shown.append(f"{line.partition(':')[0]}: {MASK}\n" if ":" in line else f"{' ' * indent}{MASK}\n")
            continue
        if said:
            depth = indent if re.match(r"""[ ]*["']?(?:data|stringData)["']?:""", line) else -1
        shown.append(line)
    return "".join(shown)


def _is_random(blob: str) -> bool:
    if blob.startswith(_PUBLIC):
        return False
    shares = [blob.count(char) / len(blob) for char in set(blob)]
    return -sum(share * log2(share) for share in shares) >= _RANDOM


def masked_diff(path: str, want: str | None, have: str | None) -> str:
    """A unified diff; empty when one side is not known or is no text. It says when only a secret changed."""
    if want is None or have is None or "\0" in want + have or want == have:
        return ""
    before, after = mask(want).splitlines(), mask(have).splitlines()
    lines = list(unified_diff(before, after, f"{path} (as left)", f"{path} (now)", lineterm="", n=2))
    if not lines:
        return "(only what is masked differs)"
    more = [f"... {len(lines) - _LINES} more lines"] if len(lines) > _LINES else []
    return "\n".join([*lines[:_LINES], *more])
