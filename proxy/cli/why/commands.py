"""The command `northgate why`: what it takes and promises."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from proxy.cli.record.commands import AsJson, DataDirectory
from proxy.cli.replay.options import HERE, Config


def why(
    decision_id: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="The id of a decision, or 8 or more of its first letters."
        ),
    ],
    *,
    data_dir: DataDirectory = HERE,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """Tell why a call was allowed or refused, by the policy and the facts of that moment.

    The question is put together from the record, decided again, and compared with what was
    recorded. Shown is the proof, with who stated each fact it rests on, when and why; or the
    nearest misses, with what each lacked. What was not recorded, and matters, is named.

    The facts are read from the database: that of --config, else northgate.db in --data-dir.

    Exit code 0, 1 if there is no such decision, or it does not come out as recorded, 2 if it cannot
    be decided again, since something is not there or damaged.

    JSON: record (null if there is none), standing (as_recorded, not_judged, no_answer_then,
    not_there, cannot_tell, otherwise), said, verdict, lacking, goal, rules,
    steps [kind, claim, predicate, args, source, premises],
    misses [rules, failed [kind, claim, predicate, args, conditions]],
    facts [fact, origin, by, at, why, version].
    """
    from proxy.cli.policy.endings import ended  # noqa: PLC0415  help comes at once
    from proxy.cli.why import run  # noqa: PLC0415

    work = lambda: run.run(data_dir, config, decision_id, os.environ, json=json)  # noqa: E731
    raise typer.Exit(ended(work, json=json))
