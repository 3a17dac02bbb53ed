"""State belongs to one file: a second one of the same name shares no grants, keys and machines unawares."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bmk.datacenter.load import load_datacenter
from bmk.datacenter.resolve import DataCenter
from bmk.datacenter.state import adopt, claim, open_journal, require_own
from bmk.errors import PreflightRefused
from tests.simulation import ROOT


@pytest.fixture
def copies(tmp_path: Path) -> tuple[DataCenter, DataCenter]:
    """Two checkouts with a data center of one name, and so with one state directory."""
    par = load_datacenter(ROOT / "inventories" / "lab" / "dc.yml")
    made = tuple(replace(par, source=tmp_path / name / "dc.yml", state=tmp_path / "state") for name in ("one", "two"))
    for dc in made:
        dc.source.parent.mkdir()
        dc.source.write_text("")
    return made[0], made[1]


def test_a_second_file_of_one_name_is_refused_with_both_and_the_way_on(
    copies: tuple[DataCenter, DataCenter], tmp_path: Path
) -> None:
    """It says whose the state is and what to type, for commands that only read as well."""
    one, two = copies
    claim(one)
    claim(one)
    for use in (claim, require_own):
        with pytest.raises(PreflightRefused) as caught:
            use(two)
        assert str(one.source) in caught.value.why
        assert f"bmk adopt {two.source}" in caught.value.hint
    claim(replace(two, state=tmp_path / "other"))


def test_asking_leaves_nothing_behind(copies: tuple[DataCenter, DataCenter]) -> None:
    """Commands that only read make no state and claim none."""
    require_own(copies[0])
    assert not copies[0].state.exists()


def test_a_moved_file_takes_its_state_along(copies: tuple[DataCenter, DataCenter]) -> None:
    """Nobody else is there to share it with; the journal tells where it was before."""
    one, two = copies
    claim(one)
    two.source.unlink()
    one.source.rename(two.source)
    claim(two)
    require_own(two)
    (event,) = open_journal(two).since(0, kind="state.adopted")
    assert str(one.source) in event.text


def test_a_copy_takes_over_when_a_person_says_so(copies: tuple[DataCenter, DataCenter]) -> None:
    """Afterwards the state is the copy's, and the first file is the one that is refused."""
    one, two = copies
    claim(one)
    assert adopt(two) == one.source
    claim(two)
    with pytest.raises(PreflightRefused):
        claim(one)
