"""Backups in a bucket, by the S3 API. The one module that knows botocore, an optional library.

An object of several parts is there when its last request succeeded, and not before. That no other is replaced is asked
of the server (`If-None-Match`); one that does not know this is asked whether the name is taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from bmk.backup.refusal import refused
from bmk.backup.targets.target import Source, TargetAccess, TargetKind, Upload
from bmk.datacenter.backup_spec import S3Target
from bmk.document import inside
from bmk.errors import PreflightRefused

_PART = 16 << 20  # bytes; S3 allows 10,000 parts of 5 MiB or more
_UNKNOWN = ("NotImplemented", "501")  # what a server says that has no conditional writes
_ABSENT = ("NoSuchKey", "404", "NotFound")


class _Parts:
    def __init__(self, client: Any, of: dict[str, str]) -> None:
        self._client, self._of = client, of
        self._id = client.create_multipart_upload(**of, ContentType="application/octet-stream")["UploadId"]
        self._parts: list[dict[str, Any]] = []
        self._held = bytearray()
        self.done = False

    def write(self, block: bytes) -> int:
        self._held += block
        while len(self._held) >= _PART:
            self._send(_PART)
        return len(block)

    def commit(self) -> None:
        if self._held or not self._parts:
            self._send(len(self._held))
        whole = {**self._of, "UploadId": self._id, "MultipartUpload": {"Parts": self._parts}}
        if _is_there(self._client, self._of):
            raise refused("target", "there is an object of this name already", self._of["Key"])
        try:
            self._client.complete_multipart_upload(**whole, IfNoneMatch="*")
        except _errors() as error:
            if _code(error) not in _UNKNOWN:
                raise
            self._client.complete_multipart_upload(**whole)
        self.done = True

    def end(self) -> None:
        if not self.done:
            with suppress(*_errors()):
                self._client.abort_multipart_upload(**self._of, UploadId=self._id)

    def _send(self, size: int) -> None:
        body, number = bytes(self._held[:size]), len(self._parts) + 1
        answer = self._client.upload_part(**self._of, UploadId=self._id, PartNumber=number, Body=body)
        self._parts.append({"ETag": answer["ETag"], "PartNumber": number})
        del self._held[:size]


class S3Bucket:
    """A bucket, or what is below a prefix of it."""

    def __init__(self, client: Any, bucket: str, prefix: str) -> None:
        self._client, self._bucket, self._prefix = client, bucket, f"{prefix}/" if prefix else ""

    @contextmanager
    def begin(self, name: str) -> Iterator[Upload]:
        with self._told(name):
            parts = _Parts(self._client, self._of(name))
            try:
                yield parts
            finally:
                parts.end()

    @contextmanager
    def open(self, name: str) -> Iterator[Source]:
        with self._told(name):
            body = self._client.get_object(**self._of(name))["Body"]
            try:
                yield body
            finally:
                body.close()

    def names(self, prefix: str) -> list[str]:
        with self._told(prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix + prefix
            )
            return sorted(one["Key"].removeprefix(self._prefix) for page in pages for one in page.get("Contents", ()))

    def remove(self, name: str) -> None:
        with self._told(name):
            self._client.delete_object(**self._of(name))

    def sweep(self, prefix: str) -> int:
        with self._told(prefix):
            found = self._client.list_multipart_uploads(Bucket=self._bucket, Prefix=self._prefix + prefix)
            left = found.get("Uploads", ())
            for one in left:
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=one["Key"], UploadId=one["UploadId"])
            return len(left)

    def _of(self, name: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + name}

    @contextmanager
    def _told(self, name: str) -> Iterator[None]:
        try:
            yield
        except _errors() as error:
            reason = "missing" if _code(error) == "NoSuchKey" else "target"
            raise refused(reason, str(error)[:200], f"{self._bucket}/{self._prefix}{name}") from error


def _errors() -> tuple[type[Exception], ...]:
    from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError  # noqa: PLC0415 - an optional library

    return BotoCoreError, ClientError, HTTPClientError


def _code(error: Any) -> str:
    return str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))


def _is_there(client: Any, of: dict[str, str]) -> bool:
    try:
        client.head_object(**of)
    except _errors() as error:
        if _code(error) in _ABSENT:
            return False
        raise
    return True


def _made(spec: S3Target, access: TargetAccess) -> S3Bucket:
    """Keys and server are those of dc.yml, whatever this user or machine has configured for others."""
    try:
        from botocore.config import Config  # noqa: PLC0415 - an optional library, and half a second
        from botocore.session import Session  # noqa: PLC0415 - the same
    except ImportError as error:
        raise PreflightRefused(
            "backups go into a bucket, and the library for it is not installed",
            why=str(error),
            hint="scripts/setup in a checkout, else: pip install 'bmk[s3]'",
        ) from error
    login = access.secret(spec.secret)
    config = Config(
        connect_timeout=15,
        read_timeout=120,
        retries={"max_attempts": 4, "mode": "standard"},
        s3={"addressing_style": "path"},
        # Many servers that speak S3 refuse the checksums that newer clients add; digests are ours.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        proxies={},
    )
    client = Session(profile=None).create_client(
        "s3",
        region_name=spec.region,
        endpoint_url=spec.endpoint,
        aws_access_key_id=login.username,
        aws_secret_access_key=login.password.reveal(),
        verify=str(inside(access.beside, spec.authorities)) if spec.authorities else None,
        config=config,
    )
    return S3Bucket(client, spec.bucket, spec.prefix or "")


KIND = TargetKind("s3", _made)
