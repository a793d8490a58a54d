"""What the commands are given: policy files, files of facts, goals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from policies.facts import FactSet
from policies.model import Fact
from policies.polar.parser import parse_facts
from policies.polar.program import Program, compile_policy
from policies.polar.schema import FactError
from policies.polar.soundness import ground_fact
from policies.polar.source import PolicyError, Problem, Severity, Span
from policies.polar.syntax import Call
from policies.vocabulary import SUPPLIED


class InputError(Exception):
    """Input that cannot be worked with: problems in the text of *sources*, or one sentence."""

    def __init__(
        self,
        message: str = "",
        problems: Iterable[Problem] = (),
        sources: Mapping[str, str] | None = None,
    ) -> None:
        self.problems = tuple(problems)
        self.sources = sources or {}
        super().__init__(message or "\n".join(map(str, self.problems)))


@dataclass(frozen=True, slots=True)
class FactFiles:
    """The facts of some files, each with the place that states it, and the texts by file."""

    facts: tuple[tuple[Fact, Span], ...]
    sources: Mapping[str, str]


def read_policy(paths: Iterable[Path]) -> dict[str, bytes]:
    """Return the `.polar` files that *paths* name or contain; raise `InputError` if there are none."""
    sources: dict[str, bytes] = {}
    known: set[Path] = set()
    for path in paths:
        files = sorted(path.rglob("*.polar")) if path.is_dir() else [path]
        if not files:
            raise InputError(f"there is no .polar file in {path}.")
        for file in files:
            if file.resolve() not in known:
                known.add(file.resolve())
                sources[str(file)] = read_bytes(file)
    return sources


def read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}.") from error


def texts(sources: Mapping[str, bytes]) -> dict[str, str]:
    """Return *sources* as text, for showing lines of them."""
    return {file: text.decode(errors="replace") for file, text in sources.items()}


def load_program(paths: Iterable[Path], *, portable: bool) -> Program:
    """Return the policy of *paths*, compiled; raise `InputError` with what is wrong with it."""
    sources = read_policy(paths)
    try:
        return compile_policy(sources, supplied=SUPPLIED, portable=portable)
    except PolicyError as error:
        raise InputError(problems=_errors(error.problems), sources=texts(sources)) from error


def read_facts(paths: Iterable[Path]) -> FactFiles:
    """Return the facts of the files *paths*; raise `InputError` with every mistake in them."""
    sources = {str(path): read_bytes(path) for path in paths}
    parsed = [parse_facts(file, text) for file, text in sources.items()]
    problems = _errors(problem for one in parsed for problem in one.problems)
    if problems:
        raise InputError(problems=problems, sources=texts(sources))
    calls: Sequence[Call] = [call for one in parsed for call in one.facts]
    facts = tuple((ground_fact(call), call.span) for call in calls)
    return FactFiles(facts, texts(sources))


def accepted(files: FactFiles, program: Program) -> tuple[FactSet, list[Problem]]:
    """Return the facts that *program* accepts, and a problem for each that it does not."""
    known = FactSet()
    problems = []
    for fact, span in files.facts:
        try:
            program.schema.check(fact)
        except FactError as error:
            problems.append(Problem("bad-fact", str(error), span, text=str(fact)))
        else:
            known = known.changed(str(span), add=[fact])
    return known, problems


def load_facts(paths: Iterable[Path], program: Program) -> FactSet:
    """Return the facts of the files *paths*; raise `InputError` for those *program* refuses."""
    files = read_facts(paths)
    known, problems = accepted(files, program)
    if problems:
        raise InputError(problems=problems, sources=files.sources)
    return known


def _errors(problems: Iterable[Problem]) -> list[Problem]:
    return [problem for problem in problems if problem.severity is Severity.ERROR]
