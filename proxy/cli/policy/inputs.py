"""What the commands are given: policy files, files of facts, goals."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from policies.bundle import BundleError, find_sources, version_of
from policies.catalogue import Catalogue
from policies.dialect import read_policy
from policies.facts import FactSet
from policies.model import Fact
from policies.polar.parser import parse_facts
from policies.polar.program import Program
from policies.polar.schema import FactError
from policies.polar.soundness import ground_fact
from policies.polar.source import PolicyError, Problem, Severity, Span
from policies.polar.syntax import Call


class InputError(Exception):
    """Input that cannot be worked with: problems, most of them in the text of *sources*."""

    def __init__(
        self, problems: Iterable[Problem], sources: Mapping[str, str] | None = None
    ) -> None:
        self.problems = tuple(problems)
        self.sources = sources or {}
        super().__init__("\n".join(map(str, self.problems)))

    @classmethod
    def saying(cls, *sentences: str) -> InputError:
        """Return the error that consists of *sentences*, about no place in a text."""
        return cls([placeless("unusable-input", sentence) for sentence in sentences])


def placeless(code: str, sentence: str) -> Problem:
    """Return a problem that is in no file."""
    return Problem(code, sentence, Span("", 0, 0, 0, 0))


@dataclass(frozen=True, slots=True)
class FactFiles:
    """The facts of some files, each with the place that states it, and the texts by file."""

    facts: tuple[tuple[Fact, Span], ...]
    sources: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PolicyFiles:
    """The files of a policy: text by the path as it was given, and the version of the whole."""

    sources: dict[str, bytes]
    version: str

    @property
    def texts(self) -> dict[str, str]:
        return texts(self.sources)


def find_policy(paths: Iterable[Path]) -> PolicyFiles:
    """Return the policy files that *paths* name or contain, each once.

    Raise `InputError` for what cannot be found or read.
    """
    named: dict[str, bytes] = {}
    sources: dict[str, bytes] = {}
    known: set[Path] = set()
    for name, file in _found(paths):
        if file.resolve() in known:
            continue
        known.add(file.resolve())
        # A bundle names files from its root; a person finds them by the path from here.
        sources[str(file)] = read_bytes(file)
        named[str(file) if name in named else name] = sources[str(file)]
    return PolicyFiles(sources, version_of(named))


def _found(paths: Iterable[Path]) -> list[tuple[str, Path]]:
    found: list[tuple[str, Path]] = []
    problems: list[str] = []
    for path in paths:
        try:
            found += find_sources([path]).items()
        except BundleError as error:
            problems += error.problems
    if problems:
        raise InputError.saying(*problems)
    return found


def read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError.saying(f"{path}: this cannot be read: {error.strerror}.") from error


def read_offers(path: Path) -> Catalogue:
    """Return what the servers offer; raise `InputError` if the file does not say so."""
    try:
        document = json.loads(read_bytes(path))
        return Catalogue.of(document)
    except (ValueError, AttributeError, TypeError) as error:
        raise InputError.saying(
            f"{path}: this does not list what servers offer: {error}."
        ) from error


def texts(sources: Mapping[str, bytes]) -> dict[str, str]:
    """Return *sources* as text, for showing lines of them."""
    return {file: text.decode(errors="replace") for file, text in sources.items()}


def compiled(files: PolicyFiles, *, portable: bool) -> Program:
    """Return the policy of *files*; raise `InputError` with what is wrong with it."""
    try:
        return read_policy(files.sources, portable=portable)
    except PolicyError as error:
        raise InputError(_errors(error.problems), files.texts) from error


def read_facts(paths: Iterable[Path]) -> FactFiles:
    """Return the facts of the files *paths*; raise `InputError` with every mistake in them."""
    sources = {str(path): read_bytes(path) for path in paths}
    parsed = [parse_facts(file, text) for file, text in sources.items()]
    problems = _errors(problem for one in parsed for problem in one.problems)
    if problems:
        raise InputError(problems, texts(sources))
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
        raise InputError(problems, files.sources)
    return known


def _errors(problems: Iterable[Problem]) -> list[Problem]:
    return [problem for problem in problems if problem.severity is Severity.ERROR]
