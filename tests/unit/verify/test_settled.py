"""How long suites wait for what comes back by itself."""

from __future__ import annotations

from bmk.verify.suites.settled import settled


def test_what_comes_back_in_time_is_good() -> None:
    """An answer that lapsed is asked for again, and not once more than needed."""
    answers = iter(["[-]etcd failed", "", "ok", "never asked"])
    assert settled(lambda: next(answers), "ok", pause=0) == "ok"
    assert next(answers) == "never asked"


def test_what_does_not_come_back_says_its_last_word() -> None:
    """The deadline ends it: an answer that stays bad is a failure, with what was seen."""
    answers = iter(["[-]etcd failed", "ok"])
    assert settled(lambda: next(answers), "ok", patience=0, pause=0) == "[-]etcd failed"
