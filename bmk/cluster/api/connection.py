"""The connection to a Kubernetes API: a kubeconfig, one client, and errors of the library as errors of bmk.

This package is the only place that knows lightkube; everything else works with plain values.
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from copy import copy
from pathlib import Path
from typing import Any

import httpx2
import httpx2.websockets
from lightkube import Client, KubeConfig
from lightkube.codecs import from_dict
from lightkube.core.exceptions import ApiError, ConfigError
from lightkube.core.resource import NamespacedResource

from bmk import permit
from bmk.errors import ODD, BmkError, Unreachable

_DENIED = re.compile(r'is forbidden: User "[^"]*" cannot ')  # by who authorizes requests
LONGEST_ANSWER = 256 << 20  # bytes; a list of 10,000 pods has about 100 MiB


class ApiConnection:
    """One cluster's API. Calls within `errors` raise Unreachable after `seconds` without an answer."""

    def __init__(self, kubeconfig: Path, seconds: float) -> None:
        self._where = str(kubeconfig)
        self._seconds = seconds
        with self.errors():
            self._config = KubeConfig.from_file(kubeconfig)
            if any(user.exec or user.auth_provider for user in self._config.users.values()):
                raise ConfigError("it names a command to run, which bmk never does")
            self.client = self.another_client()

    def another_client(self, server: str = "") -> Client:
        """A client of its own for a call that may be given up: the rest of its answer would spoil the next request.

        `server`: URL of an API server to ask instead of the one that the kubeconfig names.
        """
        config = self._config.get()
        if server and config is not None:
            other = copy(config.cluster)
            other.server = server
            config = config._replace(cluster=other)
        client = Client(config=config, timeout=httpx2.Timeout(self._seconds), trust_env=False)
        hooks = client._client._client.event_hooks  # every request passes here
        client._client._client.event_hooks = {**hooks, "request": [_check_request], "response": [self._bound]}
        return client

    def _bound(self, response: httpx2.Response) -> None:
        """Have the body of an answer end after `LONGEST_ANSWER` bytes and the seconds of a request."""
        if response.status_code != 101:  # a websocket's answer has no body
            if response.headers.get("content-encoding", "identity") != "identity":
                raise ValueError("a compressed answer to a request that allows none")
            body: Any = response.stream
            response.stream = _BoundedBody(body, self._seconds)

    def authority(self) -> str:
        """The cluster's authority, as PEM; "" when the kubeconfig names none."""
        config = self._config.get()
        return base64.b64decode((config and config.cluster.certificate_auth_data) or "").decode()

    def text(self, server: str, path: str) -> str:
        """What an API server, by its URL, answers to a plain GET of a path, as text."""
        with self.errors(), closing(self.another_client(server)) as client:
            answer = client._client._client.get(path)
            if answer.status_code != 200:
                raise Unreachable(
                    "an API server does not answer as one", where=server, why=f"{path}: {answer.status_code}"
                )
            return str(answer.text)

    def list(self, kind: Any, **more: Any) -> Iterable[Any]:
        """All objects of a kind, of all namespaces unless `namespace` is given. To be called within `errors`."""
        everywhere: dict[str, Any] = {"namespace": "*"} if issubclass(kind, NamespacedResource) else {}
        listed: Iterable[Any] = self.client.list(kind, **{**everywhere, **more})
        return listed

    def find(self, kind: Any, name: str, **more: Any) -> Any:
        """An object, or None when there is none. To be called within `errors`."""
        with absent():
            return self.client.get(kind, name, **more)
        return None

    def create(self, manifest: Any) -> None:
        """Create an object; fine when it exists."""
        with self.errors():
            try:
                self.client.create(from_dict(dict(manifest)))
            except ApiError as error:
                if error.status.reason != "AlreadyExists":
                    raise

    def apply(self, manifest: Any) -> None:
        """Apply an object server-side as field manager bmk; conflicting fields of others are overwritten."""
        with self.errors():
            self.client.apply(from_dict(dict(manifest)), field_manager="bmk", force=True)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Errors of the library become Unreachable or BmkError with the kubeconfig as place."""
        try:
            with self.understood():
                yield
        except (httpx2.TransportError, httpx2.websockets.HTTPXWSException, TimeoutError) as error:
            raise Unreachable(
                "the Kubernetes API does not answer", where=self._where, why=str(error) or type(error).__name__
            ) from error
        except ApiError as error:
            if error.response is not None and _passes(error.response.status_code, str(error)):
                raise Unreachable("the Kubernetes API is not ready", where=self._where, why=str(error)) from error
            raise BmkError("the Kubernetes API refused", where=self._where, why=str(error)) from error
        except (ConfigError, OSError) as error:
            raise BmkError("this kubeconfig cannot be used", where=self._where, why=str(error)) from error

    @contextmanager
    def understood(self) -> Iterator[None]:
        """An answer whose parts are not what the API promises is a BmkError, wherever it is read."""
        try:
            yield
        except OSError:  # some are ValueErrors, too
            raise
        except ODD as error:
            why = f"{type(error).__name__}: {error}"[:200]
            raise BmkError(
                "an answer of the Kubernetes API cannot be understood", where=self._where, why=why
            ) from error


class _BoundedBody(httpx2.SyncByteStream):
    """A body as it arrives. Raises ValueError when it has more than `LONGEST_ANSWER` bytes, Timeout after `seconds`."""

    def __init__(self, body: httpx2.SyncByteStream, seconds: float) -> None:
        self._body, self._seconds, self._end = body, seconds, time.monotonic() + seconds

    def __iter__(self) -> Iterator[bytes]:
        left = LONGEST_ANSWER
        for piece in self._body:
            left -= len(piece)
            if left < 0:
                raise ValueError(f"an answer longer than {LONGEST_ANSWER >> 20} MiB")
            if time.monotonic() > self._end:
                raise httpx2.ReadTimeout(f"an answer that is not whole after {self._seconds:g} s")
            yield piece

    def close(self) -> None:
        self._body.close()


def _passes(status: int, text: str) -> bool:
    """Whether the same request may succeed later.

    An API server that has just started knows no roles yet and denies everything to its administrator, who else may do
    everything. What admission refuses is worded otherwise, and stays refused.
    """
    return status >= 500 or (status == 403 and _DENIED.search(text) is not None)


def _check_request(request: httpx2.Request) -> None:
    """Demand a permit for what changes something, ask for plain bodies, refuse to go on with an endless list.

    No list is asked for in pieces, so a server that offers a next piece would offer them for ever.
    """
    request.headers["Accept-Encoding"] = "identity"
    if "continue" in request.url.params:
        raise ValueError("a part of a list, when the whole was asked for")
    if request.method not in ("GET", "HEAD"):
        permit.demand()


@contextmanager
def absent() -> Iterator[None]:
    """Passes over the answer that an object does not exist."""
    try:
        yield
    except ApiError as error:
        if error.response.status_code != 404:
            raise
