"""Types of the texts in reviewed files: the pattern that each must match, and its description in error messages.

A file may come from a pull request, and its texts go into configurations, commands and templates of other programs. So
no type allows a line break, a control character or a bidirectional mark, and only free text (`Line`, `Item`) allows the
braces of a template. `tests/unit/house/test_models.py` tries them on every field of every model.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from bmk.journal.database import SERVER_URL, SERVER_URL_MEANING

MEANINGS: dict[str, str] = {}  # pattern -> its description in error messages


def word(pattern: str, meaning: str, longest: int = 320, **more: Any) -> Any:
    """A field of text, up to `longest` characters, that `pattern` matches whole; `meaning` describes it in errors.

    Do not bound large character classes by `{1,500}` in a pattern: compiling one costs 5 ms at every start of bmk.
    """
    anchored = f"^{pattern}$"
    MEANINGS[anchored] = meaning
    return Field(pattern=anchored, max_length=longest, **more)


_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"  # one label of DNS, in lower case
_NAME = r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"  # what Kubernetes takes behind the slash of a label's key
_PART = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"  # of a path: neither hidden nor `..`
# No control characters, no line or paragraph separators, nothing invisible and nothing that changes the direction.
_PRINTED = r"[^\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]"


def _label_key(key: str) -> str:
    prefix, slash, _ = key.rpartition("/")
    if slash and len(prefix) > 253:
        raise ValueError("the part before the slash has more than 253 characters")
    return key


def _host(name: str) -> str:
    """Only an address may end in a number: resolvers read 10.1.2, 300.1.1.1 and 007 in different ways."""
    if len(name) > 253:
        raise ValueError("a host name has at most 253 characters")
    if name.rpartition(".")[2].isdigit():
        try:
            IPv4Address(name)
        except ValueError:
            raise ValueError("this is neither an IPv4 address nor a host name") from None
    return name


def _external(value: str) -> str:
    host, colon, port = value.partition(":")
    _host(host)
    if colon and not 1 <= int(port) <= 65535:
        raise ValueError("a port is a number from 1 to 65535")
    return value


def _usable(at: IPv4Address | IPv4Network) -> Any:
    """An address that a machine on a network can have. Raises ValueError for loopback, multicast and the like."""
    kinds = {
        "loopback": at.is_loopback,
        "multicast": at.is_multicast,
        "reserved": at.is_reserved,
        "unspecified": at.is_unspecified,
    }
    if found := next((kind for kind, is_one in kinds.items() if is_one), None):
        raise ValueError(f"this is {found}: no machine of a network has such an address")
    return at


_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_CHECKSUM = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


def _checked_recipient(text: str) -> str:
    """Its letters have a checksum (Bech32, BIP 173): a key with a typing error would encrypt for nobody."""
    check = 1
    expanded = [*(ord(c) >> 5 for c in "age"), 0, *(ord(c) & 31 for c in "age")]
    for value in (*expanded, *(_BECH32.index(c) for c in text[4:])):
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_CHECKSUM):
            check ^= generator if top >> bit & 1 else 0
    if check != 1:
        raise ValueError("this is no recipient of age: a character of it is wrong")
    return text


Address = Annotated[IPv4Address, AfterValidator(_usable)]
Range = Annotated[IPv4Network, AfterValidator(_usable)]

Name = Annotated[str, word(_LABEL, "a name of lower-case letters, digits and inner dashes, at most 63")]
Mac = Annotated[
    str,
    word(
        r"[0-9a-f]{2}(:[0-9a-f]{2}){5}",
        "a MAC address in lower case with colons, such as 52:54:00:12:34:56",
        description="lower case, with colons",
    ),
]
Size = Annotated[
    str,
    word(r"(>=|<=|=)? *[0-9]{1,9}(\.[0-9]{1,9})? *(MB|GB|TB|MiB|GiB|TiB)", "a size such as 480GB, 2TiB or >=400GB"),
]
Uuid = Annotated[
    str,
    word(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", "a UUID such as 6d2f6b1e-8f2f-4f6a-9c55-0b6d0a770001"),
]
Serial = Annotated[
    str,
    word(
        r"[A-Za-z0-9._:/+#()@=*,-]([A-Za-z0-9 ._:/+#()@=*,-]{0,126}[A-Za-z0-9._:/+#()@=*,-])?",
        "a serial number: letters, digits, inner blanks and ._:/+#()@=*,-",
    ),
]
Wwn = Annotated[
    str, word(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,199}", "a WWN such as 0x5000c500a1b2c3d4 or eui.0025385b71b0a1c2")
]
Version = Annotated[
    str, word(r"1\.(0|[1-9][0-9]{0,2})\.(0|[1-9][0-9]{0,2})", "a full Kubernetes version such as 1.37.2")
]

# Labels that a kubelet accepts; with a wrong one the node fails to register.
LabelKey = Annotated[
    str,
    word(rf"({_LABEL}(\.{_LABEL})*/)?{_NAME}", "a label's name, such as role or example.net/zone"),
    AfterValidator(_label_key),
]
LabelValue = Annotated[
    str, word(rf"({_NAME})?", "a label's value: at most 63 letters, digits, dots, dashes and underscores")
]
HostName = Annotated[
    str,
    word(rf"{_LABEL}(\.{_LABEL})*", "a host name in lower case, or an address, such as ntp1.example.net"),
    AfterValidator(_host),
]
External = Annotated[
    str,
    word(
        rf"{_LABEL}(\.{_LABEL})*(:[0-9]{{1,5}})?",
        "a host name in lower case or an address, with or without a port, such as api.example.net:6443",
    ),
    AfterValidator(_external),
]
Reference = Annotated[str, word(rf"{_PART}(/{_PART}){{0,7}}", "a name in the secret store, such as bmc/par")]
Fingerprint = Annotated[
    str, word(r"sha256:[0-9a-f]{64}", "a fingerprint as bmk fingerprint prints it, sha256: and 64 digits")
]
SystemId = Annotated[str, word(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}", "an id such as Self or System.Embedded.1")]
DatabaseUrl = Annotated[str, word(SERVER_URL, SERVER_URL_MEANING)]
AbsolutePath = Annotated[str, word(rf"(/{_PART}){{1,16}}", "a path that begins with /, without blanks and ..", 240)]
UserName = Annotated[str, word(r"[a-z_][a-z0-9_-]{0,31}", "the name of a user, such as backup")]
HostKey = Annotated[
    str,
    word(
        r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)) [A-Za-z0-9+/]+={0,3}",
        "a public host key as ssh-keyscan prints it, without the host's name, such as ssh-ed25519 AAAA...",
        1200,
    ),
]
Recipient = Annotated[
    str,
    word(rf"age1[{_BECH32}]{{58}}", "a public key as age-keygen prints it, age1 and 58 letters and digits"),
    AfterValidator(_checked_recipient),
]
ServerUrl = Annotated[
    str,
    word(
        rf"https?://{_LABEL}(\.{_LABEL})*(:[0-9]{{1,5}})?",
        "a server such as https://s3.example.net, with or without a port",
    ),
]
Bucket = Annotated[
    str, word(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "a bucket: lower-case letters, digits, dots and dashes, 3 to 63")
]
Prefix = Annotated[
    str, word(rf"{_PART}(/{_PART}){{0,7}}", "a path in the bucket without slashes around it, such as bmk/par")
]
BesideFile = Annotated[str, word(rf"{_PART}(/{_PART}){{0,7}}", "a file beside or below this one, without ..")]
Selection = Annotated[str, word(r"[a-z0-9][a-z0-9_-]{0,62}", "the name of a host, rack, role, profile or cluster")]

Line = Annotated[str, word(rf"{_PRINTED}+", "one line of text, at most 500 characters (>- folds a long one)", 500)]
# As `bmk drift` prints it, with * and ? where one wants: sysctls:net.ipv4.ip_forward, files:/etc/cron.d/*
Item = Annotated[
    str,
    word(
        rf"[a-z_]+:{_PRINTED}+",
        "kind:id as bmk drift prints it, such as sysctls:vm.swappiness or files:/etc/cron.d/*",
        longest=4200,
        description="kind:id as bmk drift prints it; * and ? match",
    ),
]

_RESPELLABLE = re.compile(rf"{_NAME}")
_MAC = re.compile(r"[0-9a-fA-F]{12}")
_NAMES, _MACS = f"^{_LABEL}$", "^[0-9a-f]{2}(:[0-9a-f]{2}){5}$"


def suggest_spelling(pattern: str, value: str) -> str:
    """How to write `value` so that it matches; empty when that is not known."""
    digits = re.sub(r"[^0-9a-zA-Z]", "", value)
    if pattern == _MACS and _MAC.fullmatch(digits):
        return f'write "{":".join(re.findall("..", digits.lower()))}"'
    if pattern == _NAMES and _RESPELLABLE.fullmatch(value):
        return f"write {re.sub(r'[_.]', '-', value.lower())}"
    return f"write {value.lower()}" if re.fullmatch(pattern, value.lower()) else ""
