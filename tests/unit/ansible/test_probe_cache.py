"""When a batch task may be done without asking the host."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bmk.ansible.probe_cache import carried, holds, inputs

ITEMS = [{"path": "/etc/a", "content": "x", "mode": "0600"}]


def _probe(**section: Any) -> dict[str, Any]:
    return {"sections": {"role.files": {"inputs": inputs(ITEMS), "holds": True, "differs": []} | section}}


def _arguments(items: list[Any] = ITEMS) -> dict[str, Any]:
    return {"section": "role", "items": items}


def test_what_holds_is_not_asked_again() -> None:
    """The same list on a host that matches its record costs no call."""
    assert holds(_probe(), "bmk_files", _arguments())


def test_drift_is_asked() -> None:
    """A host that no longer matches its record is asked, although the list is the same."""
    assert not holds(_probe(holds=False), "bmk_files", _arguments())


def test_a_new_list_is_asked() -> None:
    """Any change of the list reaches the host."""
    assert not holds(_probe(), "bmk_files", _arguments([*ITEMS, {"path": "/etc/b"}]))


def test_without_a_probe_everything_is_asked() -> None:
    """A play without a probe calls its hosts."""
    assert not holds(None, "bmk_files", _arguments())
    assert not holds({}, "bmk_files", _arguments([]))


def test_other_kinds_of_the_section_say_nothing() -> None:
    """Records are per section and kind."""
    assert not holds(_probe(), "bmk_packages", _arguments())


def test_an_empty_list_that_never_was_is_no_work() -> None:
    """Nothing wanted and nothing recorded: nothing to ask; but a list that became empty is asked."""
    assert holds(_probe(), "bmk_units", _arguments([]))
    assert not holds(_probe(), "bmk_files", _arguments([]))


def test_a_manifest_is_written_when_it_or_anything_in_it_differs() -> None:
    """The same digest on a host without drift needs no call; drift or another digest does."""
    probe = _probe()
    probe["sections"]["manifest"] = {"inputs": "d1", "holds": True, "differs": []}
    assert carried(probe, "d1")
    assert not carried(probe, "d2")
    assert not carried(None, "d1")
    probe["sections"]["role.files"]["holds"] = False
    assert not carried(probe, "d1")


@given(st.lists(st.dictionaries(st.text(), st.one_of(st.integers(), st.text(), st.booleans(), st.none()))))
def test_controller_and_host_agree_on_the_digest_of_a_list(items: list[dict[str, Any]]) -> None:
    """Both sides compute the same digest, or every run would ask again."""
    from ansible.module_utils.bmk_batch import digest  # noqa: PLC0415 - conftest makes it importable

    assert inputs(items) == digest(items)
