"""What a data center file says about backups: who can read them, where they are kept, and how long."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from bmk.datacenter.scalars import (
    AbsolutePath,
    BesideFile,
    Bucket,
    External,
    HostKey,
    Name,
    Prefix,
    Recipient,
    Reference,
    ServerUrl,
    UserName,
)
from bmk.datacenter.spec import Spec

_Port = Annotated[int, Field(ge=1, le=65535)]


class DirectoryTarget(Spec):
    """A directory of the deployer, such as a mounted file system of another machine."""

    path: AbsolutePath


class SshTarget(Spec):
    """A directory of another machine, by sftp, with the deployer's key."""

    host: External = Field(description="name or address, with or without a port")
    user: UserName
    path: AbsolutePath
    host_key: HostKey = Field(description="of that machine, as ssh-keyscan prints it; no other is accepted")


class S3Target(Spec):
    """A bucket of a server that speaks the S3 API."""

    endpoint: ServerUrl
    bucket: Bucket
    prefix: Prefix | None = Field(None, description="below which the backups are")
    region: Name = "us-east-1"
    secret: Reference = Field(description="reference to access key (username) and secret key (password)")
    authorities: BesideFile | None = Field(
        None, description="PEM file beside this one that signs the server's certificate; by default the usual ones"
    )


class BackupTargetSpec(Spec):
    """Where backups are kept: exactly one of these."""

    directory: DirectoryTarget | None = None
    ssh: SshTarget | None = None
    s3: S3Target | None = None

    @model_validator(mode="after")
    def _one(self) -> BackupTargetSpec:
        if sum(one is not None for one in (self.directory, self.ssh, self.s3)) != 1:
            raise ValueError("a target is one of directory, ssh and s3")
        return self


class BackupRetention(Spec):
    """How long backups are kept: the newest `count`, of these none older than `days`, and always the newest one."""

    count: Annotated[int, Field(ge=1, le=10000)] = 30
    days: Annotated[int, Field(ge=1, le=36500)] = 90


class BackupSpec(Spec):
    recipients: Annotated[tuple[Recipient, ...], Field(min_length=1, max_length=16)] = Field(
        description="public keys of age; whoever has the private half of one can restore"
    )
    target: BackupTargetSpec
    retention: BackupRetention = BackupRetention()
    largest: Annotated[int, Field(ge=1, le=64)] = Field(8, description="GiB that the snapshot of etcd may have at most")
