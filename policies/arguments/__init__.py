"""Tests on the arguments of a call, run for the facts a policy may read. Pure."""

from policies.arguments.keys import ambiguous_keys, key_problem
from policies.arguments.tests import COMPLEMENTS, ArgumentTest, outcomes, pattern_problem, run

__all__ = [
    "COMPLEMENTS",
    "ArgumentTest",
    "ambiguous_keys",
    "key_problem",
    "outcomes",
    "pattern_problem",
    "run",
]
