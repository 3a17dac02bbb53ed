"""Retries end, pauses grow and are bounded, and each is told. Time is a number that the test owns."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmk.bmc.access import Access, Timeouts
from bmk.bmc.retry import Busy, persist, settle
from bmk.errors import BmcError
from bmk.journal.events import Event
from bmk.secrets import Credentials, Secret

STANDARD = Timeouts()


@dataclass
class Time:
    now: float = 0.0
    pauses: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def clock(self) -> float:
        return self.now


def access(time: Time, events: list[Event], timing: Timeouts = STANDARD) -> Access:
    user = Credentials("root", Secret("calvin"))
    told = events.append
    return Access("10.0.0.1", None, user, notify=told, timing=timing, sleep=time.sleep, clock=time.clock)


def busy_until(time: Time, end: float) -> str:
    if time.now < end:
        raise Busy("HTTP 503")
    return "answer"


def test_a_minute_of_503_is_survived() -> None:
    """Sixty seconds of busy cost a few tries, and the events say when it was over."""
    time, events = Time(), list[Event]()
    assert persist(access(time, events), "answer", lambda: busy_until(time, 60)) == "answer"
    assert 60 <= time.now < 80
    assert [e.kind for e in events][-1] == "bmc.recovered"
    assert all("503" in e.text for e in events if e.kind == "bmc.retry")


@given(st.floats(1, 600), st.floats(0.1, 5), st.floats(5, 60))
def test_patience_is_never_exceeded(patience: float, first: float, longest: float) -> None:
    """However it is set, giving up comes in time, with pauses that at most double and stay below the longest."""
    time, events = Time(), list[Event]()
    timing = Timeouts(patience=patience, first_pause=first, longest_pause=longest)
    with pytest.raises(BmcError) as caught:
        persist(access(time, events, timing), "answer", lambda: busy_until(time, 10**9))
    assert time.now <= patience
    assert all(later <= 2 * earlier for earlier, later in zip(time.pauses, time.pauses[1:], strict=False))
    assert all(pause <= longest for pause in time.pauses)
    assert caught.value.where == "10.0.0.1"
    assert caught.value.why == "HTTP 503"


def test_other_errors_are_not_retried() -> None:
    """Only Busy is worth another try."""
    time, tries = Time(), 0

    def refuse() -> None:
        nonlocal tries
        tries += 1
        raise BmcError("wrong password")

    with pytest.raises(BmcError):
        persist(access(time, []), "answer", refuse)
    assert (tries, time.now) == (1, 0)


def test_settling_returns_the_last_reading() -> None:
    """What was read last is what the error message will say."""
    time = Time()
    came_true, seen = settle(access(time, [], Timeouts(settle=5)), lambda: time.now, lambda now: now > 100)
    assert not came_true
    assert seen >= 5


def test_the_password_never_shows() -> None:
    """An Access can be logged: its password is masked."""
    assert "calvin" not in repr(access(Time(), []))
