"""Which passwords BMCs took and refused: a refused one is not sent again, because BMCs lock the account after a few."""

from __future__ import annotations

from dataclasses import dataclass, field

from bmk.secrets import Credentials

FORGIVEN = 2  # refusals of a password that the BMC took before: it may be starting, and refuse everybody meanwhile


@dataclass(slots=True)
class _Record:
    taken: Credentials | None = None
    refused: Credentials | None = None
    forgiven: int = 0


@dataclass(slots=True)
class Logins:
    """Keep one for a whole run; every conversation with a BMC asks and tells it. Nothing here is written anywhere."""

    _records: dict[str, _Record] = field(default_factory=dict)

    def refused(self, address: str, credentials: Credentials) -> bool:
        """Whether this BMC said no to exactly this user and password, so that asking again would do harm."""
        return self._of(address).refused == credentials

    def took(self, address: str, credentials: Credentials) -> None:
        """The BMC let this user in."""
        self._records[address] = _Record(taken=credentials)

    def refuse(self, address: str, credentials: Credentials) -> bool:
        """The BMC said no. Returns whether that is for good; not when it took the same before, a few times."""
        record = self._of(address)
        if record.taken == credentials and record.forgiven < FORGIVEN:
            record.forgiven += 1
            return False
        record.refused = credentials
        return True

    def _of(self, address: str) -> _Record:
        return self._records.setdefault(address, _Record())
