"""A value that does not show itself: not in messages, tracebacks, logs, JSON or pickles."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Any, NoReturn

_MASK = "********"


class Secret:
    """A text that only `reveal()` gives away. Printing, formatting and JSON show a mask; pickling is refused.

    It is no `str`, so that handing it to a log, a command line or a template by mistake shows the mask or fails.
    """

    __slots__ = ("__value",)

    def __init__(self, value: str) -> None:
        self.__value = value

    def reveal(self) -> str:
        """The text itself. Call it where it leaves the process (a request, a private file), and nowhere else."""
        return self.__value

    def __repr__(self) -> str:
        return f"Secret({_MASK})"

    def __str__(self) -> str:
        return _MASK

    def __format__(self, spec: str) -> str:
        return format(_MASK, spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self.__value.encode(), other.__value.encode())

    def __hash__(self) -> int:
        return id(self)  # a hash of a short text would be as good as the text

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: Any) -> Secret:
        return self

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a Secret is never pickled: pass the reference and resolve it there")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who to be. Safe to print: the password masks itself."""

    username: str
    password: Secret
