"""Files of roles as Ansible renders them, for tests that give them to the programs that read them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template

from bmk.paths import content_dir


def render(role: str, template: str, variables: Mapping[str, Any]) -> str:
    """A template of a role with the role's own defaults and variables, and these."""
    _plugins()
    directory = content_dir() / "roles" / role
    own: dict[str, Any] = {}
    for part in ("defaults", "vars"):
        own |= yaml.safe_load((directory / part / "main.yml").read_text()) or {}
    trusted = {name: trust_as_template(value) if isinstance(value, str) else value for name, value in own.items()}
    text = (directory / "templates" / template).read_text()
    return str(Templar(DataLoader(), variables={**trusted, **variables}).template(trust_as_template(text)))


@cache
def _plugins() -> None:
    """Ansible finds its lookups only after this, which may be said once."""
    init_plugin_loader([])
