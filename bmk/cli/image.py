"""`bmk image`: the operating systems that machines are installed with."""

from __future__ import annotations

import click

from bmk.cli.output import say


@click.group(name="image")
def command() -> None:
    """Build the node image and the install ramdisk."""


@command.command(short_help="Build what is not there yet, or not of these inputs.")
@click.option("--refresh", is_flag=True, help="Build again with the packages that Debian has today.")
@click.option("--format", "form", type=click.Choice(["vagrant"]), help="Also as a box for Vagrant with libvirt.")
def build(refresh: bool, form: str | None) -> None:
    """Build node image, container root and install ramdisk; does nothing when their inputs are as recorded."""
    from bmk.artifacts.build import bring_up_systems
    from bmk.artifacts.lock import load_lock

    lock = load_lock()
    mirror = bring_up_systems(lock, say, refresh=refresh)
    for name in (file for files in lock.systems.values() for file in files):
        artifact = mirror.file(name)
        say(f"{name} {artifact.version}: {artifact.size / 1e6:.0f} MB, sha256 {artifact.sha256}")
    if form == "vagrant":
        from bmk.artifacts.box import make_box

        box = make_box(mirror, say).check()
        say(f"Vagrant box {box.version}: {box.file}; its box_url is {box.catalog.as_uri()}")
