"""The words that a Northgate policy and the gateway share: facts per call, and actions.

These names are frozen: policies in the field are written with them.
"""

from __future__ import annotations

from policies.polar.schema import Supplied

_ACTOR = "Client|User|Team"
_CALLED = "Tool|Prompt"
_TEST = (_CALLED, "String", "String")

SUPPLIED: Supplied = {
    "argument_present/2": (_CALLED, "String"),
    "argument/3": (_CALLED, "String", "String|Integer|Boolean"),
    "argument_matches/3": _TEST,
    "argument_not_matches/3": _TEST,
    "argument_under/3": _TEST,
    "argument_not_under/3": _TEST,
    "argument_host/3": _TEST,
    "argument_not_host/3": _TEST,
    "uri_matches/2": ("Document", "String"),
    "uri_under/2": ("Document", "String"),
    "claim/3": (_ACTOR, "String", "String|Integer|Boolean"),
    "acts_for/2": ("Client", "User"),
    "acts_alone/1": ("Client",),
    "source_address/2": (_ACTOR, "String"),
    "hour_of_day/2": ("String", "Integer"),
    "weekday/2": ("String", "Integer"),
}
"""The facts that only the gateway states, for the call at hand, by predicate and argument types.

`acts_alone` is the other half of `acts_for`: it is stated of a client whose token names no user.
A portable policy cannot negate "acts for anybody", so the gateway says it outright.
"""

STORED = frozenset(
    {
        "has_role",
        "has_relation",
        "has_permission",
        "lease",
        "has_tag",
        "is_suspended",
        "is_disabled",
        "is_observed",
        "is_read_only",
        "is_destructive",
        "is_idempotent",
        "is_open_world",
        "definition_state",
        "id_matches",
    }
)
"""The facts that the control plane and the registry keep."""

ACTIONS: dict[str, tuple[str, ...]] = {
    "Server": ("connect", "sample", "elicit", "list_roots", "set_log_level"),
    "Tool": ("call", "list"),
    "Prompt": ("get", "list", "complete"),
    "Document": ("read", "list", "subscribe", "complete"),
    "Gateway": (
        "manage_servers",
        "change_enforcement",
        "manage_clients",
        "manage_users",
        "issue_tokens",
        "manage_grants",
        "manage_keys",
        "read_policy",
        "change_policy",
        "shadow_policy",
        "read_decisions",
        "read_arguments",
        "approve",
    ),
}
"""What may be asked of each type of resource."""
