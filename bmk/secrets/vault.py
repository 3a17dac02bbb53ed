"""ansible-vault, through ansible-core's own parser. The one module that imports it, and only when a vault is read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from bmk.errors import ConfigError

HEADER = "$ANSIBLE_VAULT;"
VARIABLE = "BMK_VAULT_PASSWORD_FILE"


class Vault:
    """Decrypts with the password that BMK_VAULT_PASSWORD_FILE names (a file, or a script that prints it)."""

    def __init__(self, where: Path) -> None:
        self.where = where
        self._lib: Any = None

    def decrypt(self, text: str) -> str:
        """Plain text of vaulted text. Raises ConfigError, which never quotes either."""
        # Imported here: 0.4 s that a data center without a vault file need not pay.
        from ansible.errors import AnsibleError  # noqa: PLC0415 - Ansible takes long to import

        try:
            self._lib = self._lib or self._open()
            plain: bytes = self._lib.decrypt(text.strip().encode())
        except AnsibleError as error:
            raise ConfigError(
                "cannot decrypt the vault",
                where=str(self.where),
                why=str(error).splitlines()[0],
                hint=f"check that the password in the file of {VARIABLE} is that of this vault",
            ) from None
        return plain.decode()

    def _open(self) -> Any:
        from ansible.parsing.dataloader import DataLoader  # noqa: PLC0415 - Ansible takes long to import
        from ansible.parsing.vault import VaultLib, get_file_vault_secret  # noqa: PLC0415 - Ansible takes long to import

        file = os.environ.get(VARIABLE)
        if not file or not Path(file).is_file():
            raise ConfigError(
                "the vault needs a password",
                where=str(self.where),
                why=f"{VARIABLE} is not set" if not file else f"{VARIABLE} names {file}, which is not there",
                hint=f"export {VARIABLE}=FILE, where FILE holds the password or prints it",
            )
        secret = get_file_vault_secret(filename=str(Path(file).resolve()), loader=DataLoader())
        secret.load()
        return VaultLib([("default", secret)])
