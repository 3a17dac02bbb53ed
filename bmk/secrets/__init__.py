"""From a reference such as `bmc/par` to a user name and password: environment, the vault file, the lab's own file."""

from bmk.secrets.secret import Credentials, Secret
from bmk.secrets.store import SecretStore, resolve, write_generated

__all__ = ["Credentials", "Secret", "SecretStore", "resolve", "write_generated"]
