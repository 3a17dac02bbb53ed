"""From what is typed to a file; names for shell completion; a new data center."""

from __future__ import annotations

import time

import pytest
import yaml

from bmk.datacenter.load import load_datacenter
from bmk.datacenter.locate import datacenter_names, find_datacenter, host_names
from bmk.datacenter.write import start_datacenter
from bmk.errors import ConfigError
from bmk.paths import content_dir


def test_name_directory_and_file_find_the_same(room):
    """A directory and a file in it mean the same data center."""
    assert find_datacenter(room.directory) == find_datacenter(room.directory / "dc.yml") == room.directory / "dc.yml"


def test_own_inventories_come_before_those_bmk_ships(tmp_path, monkeypatch):
    """A name means inventories/<name> of the current directory first, then bmk's own."""
    monkeypatch.chdir(tmp_path)
    start_datacenter("lab", tmp_path / "inventories")
    assert find_datacenter("lab") == tmp_path / "inventories" / "lab" / "dc.yml"
    assert find_datacenter("lab-ha") == content_dir() / "inventories" / "lab-ha" / "dc.yml"


@pytest.mark.parametrize(("ref", "hint"), [("lob", "did you mean 'lab'?"), ("./nowhere.yml", "give a name below")])
def test_absent_data_center_is_told_with_what_to_type(ref, hint):
    """A wrong name has the nearest one as a hint, a wrong path says what is expected."""
    with pytest.raises(ConfigError) as caught:
        find_datacenter(ref)
    assert caught.value.hint.startswith(hint)


@pytest.mark.parametrize("name", datacenter_names())
def test_completion_finds_every_host_name(name):
    """Names read off the text for completion are those of the loaded data center."""
    assert host_names(find_datacenter(name)) == sorted(load_datacenter(name).hosts)


def test_completion_reads_ten_thousand_hosts_in_time(room):
    """Reading the host names of a very large file takes a tenth of parsing it in C: a part of completion's 150 ms."""
    hosts = "".join(f"- name: h{i}\n  serial: S{i}\n  labels: {{role: worker}}\n" for i in range(10_000))
    room.write("hosts/r2.yml", hosts)
    room.edit("  clusters:", "    r2: {hosts: hosts/r2.yml}\n  clusters:")
    start = time.process_time()
    assert len(host_names(room.directory / "dc.yml")) == 10_004
    read = time.process_time()
    yaml.load(hosts, Loader=yaml.CSafeLoader)
    assert read - start < (time.process_time() - read) / 10


def test_new_data_center_is_valid_at_once(tmp_path):
    """`bmk init` writes a file that loads, an executable inventory script and the addresses."""
    files = start_datacenter("par", tmp_path)
    assert [f.name for f in files] == ["dc.yml", "inventory", "addresses.yml"]
    assert load_datacenter(tmp_path / "par").name == "par"
    assert files[1].stat().st_mode & 0o111


def test_init_never_overwrites(tmp_path):
    """A second `bmk init` of the same name is refused and leaves the file alone."""
    dc = start_datacenter("par", tmp_path)[0]
    dc.write_text("mine")
    with pytest.raises(ConfigError, match="already there"):
        start_datacenter("par", tmp_path)
    assert dc.read_text() == "mine"


@pytest.mark.parametrize("name", ["Par", "-par", "../par", "", "p" * 64])
def test_init_refuses_names_that_are_none(tmp_path, name):
    """A name that could not be a host's domain or a directory is refused before anything is written."""
    with pytest.raises(ConfigError):
        start_datacenter(name, tmp_path)
    assert not list(tmp_path.iterdir())
