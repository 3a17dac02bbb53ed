"""What went wrong on a machine, told so that a person far away knows what to do."""

from __future__ import annotations


class AgentError(Exception):
    """`what` in one sentence; `why`: what was seen; `hint`: the next step. `retry`: another attempt may go well."""

    def __init__(self, what: str, *, why: str = "", hint: str = "", retry: bool = False) -> None:
        super().__init__(what)
        self.what, self.why, self.hint, self.retry = what, why, hint, retry

    def report(self) -> dict[str, str | bool]:
        """Body of the `failed` route."""
        return {"what": self.what, "why": self.why, "hint": self.hint, "retry": self.retry}
