"""Settings of backups: recipients without typing errors, one target, nothing that another program reads otherwise."""

from __future__ import annotations

from typing import Any

import pyrage
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from bmk.datacenter.backup_spec import BackupSpec
from bmk.datacenter.scalars import Recipient
from bmk.datacenter.spec import Spec

KEY = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
GOOD = {"recipients": [KEY], "target": {"directory": {"path": "/srv/backups"}}}
SSH = {"host": "b.example.net:2222", "user": "backup", "path": "/srv", "host_key": "ssh-ed25519 AAAAC3Nz="}
S3 = {"endpoint": "https://s3.example.net", "bucket": "par", "secret": "backup/s3"}


def test_a_key_of_age_is_a_recipient() -> None:
    """Those that pyrage makes, always."""
    for _ in range(50):
        TypeAdapter(Recipient).validate_python(str(pyrage.x25519.Identity.generate().to_public()))


@given(st.integers(4, 61), st.sampled_from("qpzry9x8gf2tvdw0s3jn54khce6mua7l"))
def test_a_wrong_letter_is_found(at: int, letter: str) -> None:
    """A backup for a key with a typing error could be opened by nobody."""
    text = KEY[:at] + letter + KEY[at + 1 :]
    if text != KEY:
        with pytest.raises(ValidationError, match="is wrong"):
            TypeAdapter(Recipient).validate_python(text)


@pytest.mark.parametrize("target", [{"directory": {"path": "/srv"}}, {"ssh": SSH}, {"s3": S3}])
def test_each_target_is_taken(target: dict[str, Any]) -> None:
    """With what the others do not need left out."""
    found = BackupSpec.model_validate({**GOOD, "target": target})
    assert found.retention.count == 30


@pytest.mark.parametrize(
    "change",
    [
        {"recipients": []},
        {"recipients": ["AGE-SECRET-KEY-1QQQQQQQQQQ"]},
        {"target": {}},
        {"target": {"directory": {"path": "/srv"}, "s3": S3}},
        {"target": {"directory": {"path": "relative"}}},
        {"target": {"directory": {"path": "/srv/../etc"}}},
        {"target": {"directory": {"path": "/"}}},
        {"target": {"ssh": {**SSH, "user": "-oProxyCommand=x"}}},
        {"target": {"ssh": {key: SSH[key] for key in ("host", "user", "path")}}},
        {"target": {"s3": {**S3, "endpoint": "https://user:password@s3.example.net"}}},
        {"target": {"s3": {**S3, "bucket": "../x"}}},
        {"retention": {"count": 0}},
    ],
)
def test_what_could_not_be_meant_is_refused(change: dict[str, Any]) -> None:
    """Nobody to read it, no place or two, paths that lead elsewhere, a host that is not pinned, passwords in an URL."""
    with pytest.raises(ValidationError):
        BackupSpec.model_validate({**GOOD, **change})


def test_an_unknown_word_is_refused() -> None:
    """As in every reviewed file: a key with a typing error is not taken for a default."""
    assert issubclass(BackupSpec, Spec)
    with pytest.raises(ValidationError, match="not permitted"):
        BackupSpec.model_validate({**GOOD, "retentoin": {}})
