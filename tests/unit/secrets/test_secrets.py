"""Secrets: found in order, never shown, never in plain text beside a data center file."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback

import pytest
from ansible.parsing.vault import VaultLib, VaultSecret
from hypothesis import given
from hypothesis import strategies as st

from bmk.errors import ConfigError
from bmk.secrets import Credentials, Secret, SecretStore, resolve, write_generated

VALUE = "hunter2-canary"
ENTRY = f"bmc/par: {{username: root, password: {VALUE}}}\n"


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A data center's directory and its state directory, with nothing in the environment."""
    for name in ("BMK_SECRET_BMC_PAR_USERNAME", "BMK_SECRET_BMC_PAR_PASSWORD", "BMK_VAULT_PASSWORD_FILE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "dc").mkdir()
    return tmp_path / "dc", tmp_path / "state"


@pytest.fixture
def vault(tmp_path, monkeypatch):
    """Encrypt text as ansible-vault does, with the password that bmk will be given."""
    password = tmp_path / "vault-password"
    password.write_text("open sesame\n")
    monkeypatch.setenv("BMK_VAULT_PASSWORD_FILE", str(password))
    lib = VaultLib([("default", VaultSecret(b"open sesame"))])
    return lambda text: lib.encrypt(text.encode()).decode()


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        "{}".format,
        "{:>30}".format,
        lambda s: f"{s!r} {s}",
        lambda s: json.dumps({"password": s}, default=str),
        lambda s: repr(Credentials("root", s)),
        lambda s: repr([copy.deepcopy(s), copy.copy(s)]),
        lambda s: logging.LogRecord("x", 20, "x", 1, "%s %r", (s, s), None).getMessage(),
    ],
)
def test_secret_never_shows_itself(show):
    """No way of printing, formatting, logging or copying a secret gives its text away."""
    assert VALUE not in show(Secret(VALUE))


def test_secret_is_not_serialised():
    """Pickling is refused, and JSON refuses what is not asked to become text."""
    with pytest.raises(TypeError):
        pickle.dumps(Secret(VALUE))
    with pytest.raises(TypeError):
        pickle.dumps(Credentials("root", Secret(VALUE)))
    with pytest.raises(TypeError):
        json.dumps(Secret(VALUE))


def test_secret_stays_hidden_in_tracebacks():
    """An error that carries a secret prints the mask."""
    with pytest.raises(ValueError, match="login failed") as caught:
        raise ValueError("login failed", Secret(VALUE))
    assert VALUE not in "".join(traceback.format_exception(caught.value))


@given(st.text(), st.text())
def test_secrets_compare_by_value(a, b):
    """Two secrets are equal exactly when their texts are; a secret never equals a text."""
    assert (Secret(a) == Secret(b)) == (a == b)
    assert Secret(a) != a


def test_environment_comes_first(places, monkeypatch):
    """BMK_SECRET_<REF> overrides every file, for CI."""
    write_generated(places[1], {"bmc/par": ("root", VALUE)})
    monkeypatch.setenv("BMK_SECRET_BMC_PAR_USERNAME", "ci")
    monkeypatch.setenv("BMK_SECRET_BMC_PAR_PASSWORD", "from-env")
    found = resolve("bmc/par", *places)
    assert (found.username, found.password.reveal()) == ("ci", "from-env")


def test_generated_file_is_private_and_found(places):
    """What the lab writes is readable by its owner only, and resolves."""
    path = write_generated(places[1], {"bmc/par": ("root", VALUE), "bmc/x": ("u", "0012")})
    assert path.stat().st_mode & 0o777 == 0o600
    store = SecretStore(*places)
    assert store.resolve("bmc/par") == Credentials("root", Secret(VALUE))
    assert store.resolve("bmc/x").password.reveal() == "0012"


def test_generated_file_that_others_can_read_is_refused(places):
    """A file of secrets with wide modes is not used but told, with the command that mends it."""
    path = write_generated(places[1], {"bmc/par": ("root", VALUE)})
    path.chmod(0o644)
    with pytest.raises(ConfigError) as caught:
        resolve("bmc/par", *places)
    assert caught.value.hint == f"chmod 600 {path}"


def test_vault_file_is_decrypted(places, vault):
    """A secrets.yml made by ansible-vault encrypt resolves with the password of BMK_VAULT_PASSWORD_FILE."""
    (places[0] / "secrets.yml").write_text(vault(ENTRY))
    assert resolve("bmc/par", *places) == Credentials("root", Secret(VALUE))


def test_inline_vault_values_are_decrypted(places, vault):
    """A secrets.yml with !vault passwords (ansible-vault encrypt_string) resolves too."""
    body = "".join(f"    {line}\n" for line in vault(VALUE).splitlines())
    (places[0] / "secrets.yml").write_text(f"bmc/par:\n  username: root\n  password: !vault |\n{body}")
    assert resolve("bmc/par", *places).password.reveal() == VALUE


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
def test_the_line_end_of_a_value_is_not_part_of_it(places, vault, monkeypatch, end):
    """`echo secret | ansible-vault encrypt_string` and `export X="$(...)\n"` leave one, which no BMC has."""
    body = "".join(f"    {line}\n" for line in vault(VALUE + end).splitlines())
    (places[0] / "secrets.yml").write_text(f"bmc/par:\n  username: root\n  password: !vault |\n{body}")
    assert resolve("bmc/par", *places).password.reveal() == VALUE
    monkeypatch.setenv("BMK_SECRET_BMC_PAR_USERNAME", "ci" + end)
    monkeypatch.setenv("BMK_SECRET_BMC_PAR_PASSWORD", " from env " + end)
    found = resolve("bmc/par", *places)
    assert (found.username, found.password.reveal()) == ("ci", " from env ")


def test_plain_text_beside_a_data_center_is_refused(places):
    """A readable password in a file that belongs in git is refused, without being quoted."""
    (places[0] / "secrets.yml").write_text(ENTRY)
    with pytest.raises(ConfigError) as caught:
        resolve("bmc/par", *places)
    assert "ansible-vault encrypt" in caught.value.hint
    assert VALUE not in str(caught.value)


@pytest.mark.parametrize("password", [None, "wrong\n", "missing"])
def test_vault_that_does_not_open_is_told(places, vault, monkeypatch, tmp_path, password):
    """No password, a wrong one or an absent file: a clear error that names the variable and quotes nothing."""
    (places[0] / "secrets.yml").write_text(vault(ENTRY))
    (tmp_path / "vault-password").unlink()
    if password is None:
        monkeypatch.delenv("BMK_VAULT_PASSWORD_FILE")
    elif password != "missing":
        (tmp_path / "vault-password").write_text(password)
    with pytest.raises(ConfigError) as caught:
        resolve("bmc/par", *places)
    assert "BMK_VAULT_PASSWORD_FILE" in str(caught.value)
    assert VALUE not in str(caught.value)


def test_absent_secret_says_where_was_looked(places):
    """A reference that nothing resolves names the variable, both files and the command that adds it."""
    with pytest.raises(ConfigError) as caught:
        resolve("bmc/par", *places)
    assert "BMK_SECRET_BMC_PAR_PASSWORD" in str(caught.value)
    assert str(places[0] / "secrets.yml") in str(caught.value)


def test_incomplete_entry_is_told(places):
    """An entry without a user name is an error of the file, not an empty user name."""
    path = write_generated(places[1], {})
    path.write_text("bmc/par: {password: x}\n")
    with pytest.raises(ConfigError, match="needs a username and a password"):
        resolve("bmc/par", *places)


@pytest.mark.parametrize("vaulted", [True, False])
def test_a_broken_file_of_secrets_is_told_without_its_line(places, vault, vaulted):
    """What is wrong with a file of secrets has its place and a next command, and never the line that it stands in."""
    broken = ENTRY + f"bmc/lyo: password: {VALUE}\n"
    (places[0] / "secrets.yml").write_text(vault(broken) if vaulted else broken)
    with pytest.raises(ConfigError) as caught:
        resolve("bmc/par", *places)
    assert "secrets.yml:2:18" in str(caught.value)
    assert VALUE not in str(caught.value)
