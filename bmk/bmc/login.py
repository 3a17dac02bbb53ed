"""Logging in at a Redfish BMC: a session where it offers one, so that the password travels once; else Basic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.auth import HTTPBasicAuth

from bmk.bmc.access import Access
from bmk.bmc.redfish_text import words_of
from bmk.bmc.refusals import reason_of
from bmk.bmc.retry import Busy, login_error, raise_if_refused
from bmk.errors import BmcError, BmcRefuses

_TOKEN = "X-Auth-Token"  # noqa: S105 - the name of a header
_NO_SESSIONS = frozenset({404, 405, 501})
_BUSY = frozenset({408, 429, 500, 502, 503, 504})
_CROWDED = "all its sessions are taken, and it takes no password without one"
_FULL = ("SessionLimitExceeded", "RAC0218", "maximum number of")  # Basic needs no session of the few there are


class Login:
    """At one BMC, for as long as a conversation. `base` is the BMC's address as a URL."""

    def __init__(self, access: Access, session: requests.Session, base: str) -> None:
        self._access, self._session, self._base = access, session, base
        self._place = ""  # of our session, while there is one
        self._crowded, self._basic = False, True  # all sessions are taken; whether Basic is worth a try then

    @property
    def inside(self) -> bool:
        """Whether requests carry a proof of who we are."""
        return self._session.auth is not None or _TOKEN in self._session.headers

    def enter(self, root: Mapping[str, Any]) -> None:
        """Log in, by the service's root document. Raises BmcRefuses, and for a password once refused without asking."""
        raise_if_refused(self._access)
        self.forget()
        place = _sessions(root)
        if place is None or not self._begin(place):
            user = self._access.credentials
            self._session.auth = HTTPBasicAuth(user.username.encode(), user.password.reveal().encode())

    def leave(self) -> None:
        """End the session, of which BMCs have few. One that cannot be ended ends by itself, after minutes."""
        if self._place:
            try:
                self._session.delete(urljoin(self._base, self._place))
            except (BmcError, Busy, OSError) as error:
                self._access.tell("bmc.session-left", f"the session could not be ended: {error}", "debug")
        self.forget()

    def forget(self) -> None:
        self._place, self._session.auth = "", None
        self._session.headers.pop(_TOKEN, None)
        self._session.cookies.clear()

    def took(self) -> None:
        """The BMC answered what it answers only to those whom it let in."""
        self._access.logins.took(self._access.address, self._access.credentials)

    def login_error(self, status: int, words: str) -> Exception:
        """What 401 or 403 means now: Busy while it may be a passing state, else BmcRefuses."""
        access = self._access
        if not self.inside:
            return Busy(f"HTTP {status} for what is open to all; it may be starting")
        reason, session = reason_of(access, words), _TOKEN in self._session.headers
        if status == 403 and (reason or session):
            hint = "give this user more rights on the BMC"
            what = "the BMC does not allow this to its user"
            return reason or BmcRefuses(what, where=access.address, why=words, hint=hint)
        self.forget()
        if session:
            return Busy("our session ended")
        if self._crowded:
            self._basic = False
            return Busy(_CROWDED)
        return login_error(self._access, words)

    def _begin(self, place: str) -> bool:
        """Begin a session. False when this BMC gives none."""
        user = self._access.credentials
        answer = self._session.post(
            urljoin(self._base, place),
            json={"UserName": user.username, "Password": user.password.reveal()},
            headers={"OData-Version": "4.0"},
        )
        token = answer.headers.get(_TOKEN)
        if answer.ok and token:
            self._session.headers[_TOKEN] = token
            # of an absolute address only the path is taken: a BMC may know itself by another name
            self._place = urlsplit(answer.headers.get("Location") or "").path
            self.took()
            return True
        words = words_of(answer.content)
        self._crowded = any(word in words for word in _FULL)
        if self._crowded and not self._basic:
            raise Busy(_CROWDED)
        if answer.ok or answer.status_code in _NO_SESSIONS or self._crowded:
            return False
        if answer.status_code in _BUSY:
            raise Busy(f"HTTP {answer.status_code}")
        reason = reason_of(self._access, words) if answer.status_code == 403 else None
        raise reason or login_error(self._access, words)  # 401; some answer 400 to a wrong password


def _sessions(root: Mapping[str, Any]) -> str | None:
    """Where sessions begin: the standard's link, which is open to all; None when the BMC has no such service."""
    link = ((root.get("Links") or {}).get("Sessions") or {}).get("@odata.id")
    service = (root.get("SessionService") or {}).get("@odata.id")
    return str(link) if link else f"{str(service).rstrip('/')}/Sessions" if service else None
