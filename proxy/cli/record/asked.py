"""What a listing of records is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from policies.model import Reason, Verdict

KindName = Literal["decision", "change", "outcome", "checkpoint"]
FormName = Literal["csv", "jsonl"]


@dataclass(frozen=True, slots=True)
class Asked:
    """The options of the listings that choose records; None chooses nothing."""

    kind: KindName = "decision"
    since: str | None = None
    until: str | None = None
    principal: str | None = None
    server: str | None = None
    tool: str | None = None
    action: str | None = None
    verdict: Verdict | None = None
    reason: Reason | None = None
    rule: str | None = None
    observed: bool | None = None
    acts_for: str | None = None
    resource: str | None = None
