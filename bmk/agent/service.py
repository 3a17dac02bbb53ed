"""The boot service as the agent sees it: five routes, each tried a limited number of times."""

from __future__ import annotations

import json
import queue
import secrets
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from bmk.agent.errors import AgentError
from bmk.agent.model import InstallSpec, MachineFacts, Order
from bmk.agent.proof import HEADER, ProofKey, same

TRIES = 40
_LONGEST = 1 << 20  # bytes of an answer
_TIMEOUT = 20.0  # seconds per request
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # boot networks have no proxies


class BootService:
    """One grant's routes. `pause` is what waits between tries (seconds); tests pass one that does not.

    With a `key` every request is proven, and an answer without its proof is none.
    """

    def __init__(self, order: Order, pause: Callable[[float], None] = time.sleep) -> None:
        self._base = f"{order.url.rstrip('/')}/agent/{order.grant}"
        # Made up here and sent with the claim: whoever repeats a claim with it is this very start of this machine.
        self._token = secrets.token_urlsafe(32)
        self._pause = pause
        self.key: ProofKey | None = None
        self.evidence: dict[str, Any] | None = None  # of how this machine was booted, for the claim

    def challenge(self, presented: dict[str, Any]) -> Any:
        """What the machine's TPM has to open, for what it presents. The one request without a proof."""
        return self._post("challenge", presented)

    def claim(self, facts: MachineFacts, each: Callable[[], None] = lambda: None) -> InstallSpec:
        """Take the grant. A claim counts once; the same one is answered the same, so it is repeated until heard.

        `each` is called before every try: the deployer may still have to read what is on the console.
        """
        body = {**facts.said(), "token": self._token, "evidence": self.evidence}
        answer = self._post("claim", body, each=each)
        try:
            return InstallSpec.read(answer, self._token)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise AgentError("the boot service answered a claim with something else", why=repr(error)) from None

    def done(self, report: dict[str, Any]) -> None:
        """Spend the grant with the proof. The same report again is answered the same, so it is repeated until heard."""
        self._post("done", report)

    def failed(self, report: dict[str, Any]) -> None:
        self._post("failed", report, tries=10)

    def events(self, events: list[dict[str, Any]]) -> None:
        self._post("events", events, tries=3)

    def _post(self, route: str, body: Any, tries: int = TRIES, each: Callable[[], None] = lambda: None) -> Any:
        problem = ""
        for attempt in range(tries):
            if attempt:
                self._pause(min(0.5 * 2**attempt, 10.0))
            each()
            try:
                return self._once(route, body)
            except urllib.error.HTTPError as error:
                if error.code < 500:
                    raise _refusal(route, error) from None
                problem = f"status {error.code}"
            except (OSError, ValueError) as error:  # refused, timed out, reset, or not JSON
                problem = str(getattr(error, "reason", error))
        raise AgentError(
            f"the boot service did not take the {route} report", why=f"{self._base}/{route}: {problem}",
            hint="is the boot service running, and does the network between it and this machine work?", retry=True,
            code="boot-server",
        )  # fmt: skip

    def _once(self, route: str, body: Any) -> Any:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._token}"}
        data = json.dumps(body).encode()
        proof = self.key.request(route, data) if self.key else ""
        headers |= {HEADER: proof} if proof else {}
        request = urllib.request.Request(f"{self._base}/{route}", data, headers)  # noqa: S310 - http by design
        with _opener.open(request, timeout=_TIMEOUT) as answer:
            text = answer.read(_LONGEST)
            if self.key and not same(answer.headers.get(HEADER, ""), self.key.answer(route, proof, text)):
                raise _unproven(route)
            return json.loads(text or b"null")


def _unproven(route: str) -> AgentError:
    return AgentError(
        f"the answer to the {route} is not from this data center's boot service, or was changed on its way",
        why="it is not proven with the secret that came through this machine's BMC",
        hint="look for a stranger on the boot network; nothing it said was done",
        code="unproven",
    )


def _refusal(route: str, error: urllib.error.HTTPError) -> AgentError:
    try:
        said = json.loads(error.read() or b"{}")
    except (OSError, ValueError):
        said = {}
    reason = str(said.get("reason", "")) if isinstance(said, dict) else ""
    hint = str(said.get("hint", "")) if isinstance(said, dict) else ""
    return AgentError(f"the boot service refused the {route}", why=reason or f"status {error.code}", hint=hint)


class Telling:
    """Events on their way to the journal, sent in order by a thread of their own: telling never slows writing."""

    def __init__(self, service: BootService) -> None:
        self._service = service
        self._queue: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="telling", daemon=True)
        self._thread.start()

    def tell(self, kind: str, text: str, level: str = "info", **data: Any) -> None:
        self._queue.put({"kind": kind, "text": text, "level": level, "data": data})

    def close(self) -> None:
        """Send what is left; waits a minute at most."""
        self._queue.put(None)
        self._thread.join(60)

    def _work(self) -> None:
        while (first := self._queue.get()) is not None:
            batch, last = [first], False
            while not self._queue.empty() and not last:
                more = self._queue.get()
                last = more is None
                batch += [more] if more is not None else []
            self._send(batch)
            if last:
                return

    def _send(self, batch: list[dict[str, Any]]) -> None:
        try:
            self._service.events(batch)
        except AgentError:
            return  # the journal misses a line; the install goes on
