"""What went wrong on a machine, told so that a person far away knows what to do."""

from __future__ import annotations


class AgentError(Exception):
    """`what` in one sentence; `why`: what was seen; `hint`: the next step. `retry`: another attempt may go well.

    `code` is the kind of failure. The deployer has advice of its own for each (bmk/journal/advice.py); the hint is for
    who stands before the machine.
    """

    def __init__(self, what: str, *, why: str = "", hint: str = "", retry: bool = False, code: str = "") -> None:
        super().__init__(what)
        self.what, self.why, self.hint, self.retry, self.code = what, why, hint, retry, code

    def report(self) -> dict[str, str | bool]:
        """Body of the `failed` route."""
        return {"code": self.code, "what": self.what, "why": self.why, "hint": self.hint, "retry": self.retry}
