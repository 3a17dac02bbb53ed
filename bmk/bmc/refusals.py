"""Why a Redfish BMC refuses, where it says so: as an error with what to do about it."""

from __future__ import annotations

from bmk.bmc.access import Access
from bmk.errors import BmcError, BmcIgnores, BmcRefuses

# Message ids that say more than "no": what it is, and what to do about it
_REASONS: tuple[tuple[tuple[str, ...], type[BmcError], str, str], ...] = (
    (
        ("PasswordChangeRequired",),
        BmcRefuses,
        "the BMC lets this user do nothing before its password is changed",
        "log in on the BMC's own page and change the password, then correct the secret",
    ),
    (
        ("LicenseKeyRequired", "LicenseNotPassed", "LicenseRequired"),
        BmcIgnores,
        "the BMC has no licence for this",
        "install the licence on the BMC; or use `kind: ipmi`",
    ),
    (
        ("InsufficientPrivilege",),
        BmcRefuses,
        "the BMC does not allow this to its user",
        "give this user the role Administrator (or Operator) on the BMC",
    ),
)


def reason_of(access: Access, words: str) -> BmcError | None:
    """What a refusal says of its reason, as an error; None when it says nothing that is known."""
    for keys, kind, what, hint in _REASONS:
        if any(key in words for key in keys):
            return kind(what, where=access.address, why=words, hint=hint)
    return None
