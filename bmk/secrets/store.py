"""Where secrets come from, in order: environment, the data center's vault file, the file that a lab made for itself.

A file is a mapping of references: `bmc/par: {username: root, password: ...}`. The one beside dc.yml is meant for git:
it is an ansible-vault file, or has `!vault` passwords; plain text in it is refused. The one in the state directory is
private to its owner.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from bmk.document import NotYaml, Tags, parse_document, to_yaml
from bmk.errors import ConfigError
from bmk.paths import private_dir
from bmk.secrets.secret import Credentials, Secret
from bmk.secrets.vault import HEADER, Vault

FILE = "secrets.yml"


def resolve(ref: str, dc_dir: Path, state_dir: Path) -> Credentials:
    """User name and password of a reference. Raises ConfigError that says where was looked, never what was found."""
    return SecretStore(dc_dir, state_dir).resolve(ref)


def write_generated(state_dir: Path, credentials: Mapping[str, tuple[str, str]]) -> Path:
    """Write references with (user name, password) into the private file of a data center's state; for the lab."""
    private_dir(state_dir)
    path = state_dir / FILE
    content = {ref: {"username": user, "password": password} for ref, (user, password) in credentials.items()}
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(to_yaml(content))
    fresh.replace(path)
    return path


class SecretStore:
    """The secrets of one data center. Files are read once, when first asked for: keep one store for a whole run."""

    def __init__(self, dc_dir: Path, state_dir: Path) -> None:
        self._vaulted, self._generated = dc_dir / FILE, state_dir / FILE

    def resolve(self, ref: str) -> Credentials:
        """User name and password of a reference, from the first source that has it."""
        sources = (_from_environment, self._from_vault, self._from_generated)
        found = next((c for source in sources if (c := source(ref)) is not None), None)
        if found is None:
            raise self._missing(ref)
        return found

    def _from_vault(self, ref: str) -> Credentials | None:
        return _entry(self._vault_content, ref, self._vaulted)

    def _from_generated(self, ref: str) -> Credentials | None:
        return _entry(self._generated_content, ref, self._generated)

    @cached_property
    def _vault_content(self) -> Any:
        if not self._vaulted.is_file():
            return {}
        text, vault = self._vaulted.read_text(encoding="utf-8"), Vault(self._vaulted)
        if text.startswith(HEADER):
            return _parsed(vault.decrypt(text), self._vaulted)
        value = _parsed(text, self._vaulted, {"!vault": lambda t: Secret(vault.decrypt(t))})
        _refuse_plain_text(value, self._vaulted)
        return value

    @cached_property
    def _generated_content(self) -> Any:
        if not self._generated.is_file():
            return {}
        if stat.S_IMODE(self._generated.stat().st_mode) & 0o077:
            raise ConfigError(
                "others can read this file of secrets", where=str(self._generated), hint=f"chmod 600 {self._generated}"
            )
        return _parsed(self._generated.read_text(encoding="utf-8"), self._generated)

    def _missing(self, ref: str) -> ConfigError:
        return ConfigError(
            f"there is no secret {ref!r}",
            why=f"not in the environment ({_variable(ref)}_PASSWORD), {self._vaulted} or {self._generated}",
            hint=f"ansible-vault edit {self._vaulted} and add: {ref}: {{username: ..., password: ...}}",
        )


def _parsed(text: str, path: Path, tags: Tags | None = None) -> Any:
    """The value of a file of secrets. What is wrong with it is told with its place and without its line."""
    try:
        return parse_document(text, path, tags).value
    except NotYaml as error:
        (flaw,) = error.document.flaws
        raise ConfigError(flaw.what, where=str(flaw.mark), hint=f"ansible-vault edit {path}") from None


def _variable(ref: str) -> str:
    return "BMK_SECRET_" + re.sub(r"[^A-Z0-9]", "_", ref.upper())


def _from_environment(ref: str) -> Credentials | None:
    name = _variable(ref)
    user, password = os.environ.get(f"{name}_USERNAME"), os.environ.get(f"{name}_PASSWORD")
    if user is None or password is None:
        return None
    return Credentials(_text(user), Secret(_text(password)))


def _entry(content: Any, ref: str, path: Path) -> Credentials | None:
    entry = content.get(ref) if isinstance(content, dict) else None
    if entry is None:
        return None
    if not isinstance(entry, dict) or not {"username", "password"} <= entry.keys():
        raise ConfigError(f"the secret {ref!r} needs a username and a password", where=str(path))
    return Credentials(_text(entry["username"]), Secret(_text(entry["password"])))


def _text(value: Any) -> str:
    """Without the line end that an editor, `echo` or a YAML block leaves: no BMC has one in a password."""
    return (value.reveal() if isinstance(value, Secret) else str(value)).rstrip("\r\n")


def _refuse_plain_text(content: Any, path: Path) -> None:
    """A file beside dc.yml ends up in git: a readable password in it is an accident waiting."""
    for ref, entry in (content or {}).items():
        if isinstance(entry, dict) and not isinstance(entry.get("password"), Secret):
            raise ConfigError(
                f"the password of {ref!r} stands in plain text", where=str(path), hint=f"ansible-vault encrypt {path}"
            )
