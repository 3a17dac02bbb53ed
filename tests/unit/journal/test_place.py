"""State belongs to one file: a second one of the same name shares no grants, keys and machines unawares."""

from __future__ import annotations

from pathlib import Path

import pytest

from bmk.errors import PreflightRefused
from bmk.journal import open_journal
from bmk.journal.place import adopt, claim, require_own


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two checkouts with a data center of one name, and a state directory."""
    monkeypatch.setenv("BMK_STATE_DIR", str(tmp_path / "state"))
    made = tmp_path / "one/dc.yml", tmp_path / "two/dc.yml"
    for file in made:
        file.parent.mkdir()
        file.write_text("")
    return made


def test_a_second_file_of_one_name_is_refused_with_both_and_the_way_on(files: tuple[Path, Path]) -> None:
    """It says whose the state is and what to type, for commands that only read as well."""
    one, two = files
    claim("par", one)
    claim("par", one)
    for use in (claim, require_own):
        with pytest.raises(PreflightRefused) as caught:
            use("par", two)
        assert str(one) in caught.value.why
        assert f"bmk adopt {two}" in caught.value.hint
    claim("lyo", two)


def test_asking_leaves_nothing_behind(files: tuple[Path, Path], tmp_path: Path) -> None:
    """Commands that only read make no state and claim none."""
    require_own("par", files[0])
    assert not (tmp_path / "state").exists()


def test_a_moved_file_takes_its_state_along(files: tuple[Path, Path]) -> None:
    """Nobody else is there to share it with; the journal tells where it was before."""
    one, two = files
    claim("par", one)
    two.unlink()
    one.rename(two)
    claim("par", two)
    require_own("par", two)
    (event,) = open_journal("par").since(0, kind="state.adopted")
    assert str(one) in event.text


def test_a_copy_takes_over_when_a_person_says_so(files: tuple[Path, Path]) -> None:
    """Afterwards the state is the copy's, and the first file is the one that is refused."""
    one, two = files
    claim("par", one)
    assert adopt("par", two) == one
    claim("par", two)
    with pytest.raises(PreflightRefused):
        claim("par", one)
