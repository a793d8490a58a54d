"""Sets of policy files: read whole, named by their content, checked, tested, swapped atomically."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import Lock

from policies.dialect import read_policy
from policies.model import quoted
from policies.polar.program import Program
from policies.polar.reports import Report
from policies.polar.source import DEFAULT
from policies.polar.testing import run_tests

SUFFIX = ".polar"

Sources = Mapping[str, str | bytes]
"""Policy files: text by name."""


class BundleError(Exception):
    """Files that do not make up a policy. `problems` are sentences, each of which names a file."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class FailedTestsError(Exception):
    """A policy that breaks tests of its own. `problems` show each assertion that failed."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.problems = tuple(
            f"test {quoted(result.name)}: {failure}"
            for result in report.results
            for failure in result.failures
        )
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True, slots=True)
class Bundle:
    """A policy in use: its files, what they mean, and the name that only this content has."""

    version: str
    sources: Mapping[str, str]
    program: Program


def find_sources(paths: Sequence[Path]) -> dict[str, Path]:
    """Return the policy files that *paths*, directories or files, hold, by name.

    A file's name is its path below the directory given, with forward slashes; names that begin
    with a dot are left out, as editors and mounts use them for their own purposes. Raise
    `BundleError` for what cannot be found or read, two files of one name, a link that leaves its
    directory, or no file at all.
    """
    found: dict[str, Path] = {}
    problems: list[str] = []
    for path in paths:
        for name, file in _named(path, problems):
            if not name.isprintable():
                problems.append(f"{name!r}: rename this file, so that its name can be shown.")
            elif name in found:
                problems.append(
                    f"{name}: both {found[name]} and {file} have this name; rename one."
                )
            else:
                found[name] = file
    if not found and not problems:
        places = ", ".join(map(str, paths)) or "no directory"
        problems.append(f"{places}: there is no {SUFFIX} file here; a policy has at least one.")
    if problems:
        raise BundleError(problems)
    return dict(sorted(found.items()))


def read_sources(paths: Sequence[Path]) -> dict[str, bytes]:
    """Return what the policy files of *paths* contain, by name and in order of name.

    Raise `BundleError` as `find_sources` does, and for files that cannot be read.
    """
    contents: dict[str, bytes] = {}
    problems: list[str] = []
    for name, path in find_sources(paths).items():
        try:
            contents[name] = path.read_bytes()
        except OSError as error:
            problems.append(_unreadable(path, error))
    if problems:
        raise BundleError(problems)
    return contents


def _named(path: Path, problems: list[str]) -> Iterator[tuple[str, Path]]:
    root = _real(path, problems)
    if root is None:
        return
    if root.is_dir():
        for file in _below(path, (root,), problems):
            yield file.relative_to(path).as_posix(), file
    elif path.name.endswith(SUFFIX) and root.is_file():
        yield path.name, path
    else:
        problems.append(f"{path}: this is neither a directory nor a {SUFFIX} file.")


def _below(directory: Path, trail: Sequence[Path], problems: list[str]) -> Iterator[Path]:
    """Yield the policy files in *directory*; *trail* are the real directories that lead there."""
    try:
        for path in sorted(directory.iterdir()):
            if path.name.startswith(".") or not (path.is_dir() or path.name.endswith(SUFFIX)):
                continue
            real = _real(path, problems)
            if real is None:
                continue
            if trail[0] not in real.parents or real in trail:
                message = "this link leads out of its directory or back; copy the files instead."
                problems.append(f"{path}: {message}")
            elif real.is_dir():
                yield from _below(path, (*trail, real), problems)
            elif real.is_file():
                yield path
            else:
                problems.append(f"{path}: this is not a regular file.")
    except OSError as error:
        problems.append(_unreadable(directory, error))


def _real(path: Path, problems: list[str]) -> Path | None:
    """Return where *path* leads, or None if it leads nowhere."""
    try:
        return path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        # Python before 3.13 raises RuntimeError where links lead in a circle.
        problems.append(_unreadable(path, error))
        return None


def _unreadable(path: Path, error: Exception) -> str:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"{path}: this cannot be read: {reason}."


def version_of(sources: Sources) -> str:
    """Return the name of this content: the same for the same files, wherever and in any order."""
    digest = sha256(b"northgate policy 1\n")
    for name, text in sorted(sources.items()):
        for part in (name, text):
            content = part.encode(errors="surrogatepass") if isinstance(part, str) else part
            # The length before each part keeps text from moving between files unnoticed.
            digest.update(len(content).to_bytes(8, "big"))
            digest.update(content)
    return f"sha256:{digest.hexdigest()}"


def load(
    sources: Sources,
    *,
    portable: bool = True,
    tested: bool = True,
) -> Bundle:
    """Return the bundle that *sources* make up.

    Raise `BundleError` if it could never allow anything, `PolicyError` with everything that is
    wrong with the text, or, with *tested*, `FailedTestsError` if a test in the files fails.
    """
    if not sources:
        raise BundleError(["There is no policy file, so nothing could ever be allowed."])
    files = dict(sorted(sources.items()))
    program = read_policy(files, portable=portable)
    if not _can_allow(program):
        message = "no rule says what is allowed; write one for `allow` or `has_permission`."
        raise BundleError([f"{', '.join(files)}: {message}"])
    if tested:
        report = run_tests(program, conditions=False)
        if not report.passed:
            raise FailedTestsError(report)
    texts = {name: text if isinstance(text, str) else text.decode() for name, text in files.items()}
    return Bundle(version_of(files), texts, program)


def _can_allow(program: Program) -> bool:
    decisive = {("allow", 3), ("has_permission", 3)}
    return "has_permission/3" in program.schema.declared or any(
        (rule.predicate, len(rule.parameters)) in decisive
        for rule in program.rules
        if rule.span.file != DEFAULT
    )


class ActiveBundle:
    """The bundle that decides. To read `current` is one step, so every reader has a whole one.

    `failure` is why the last bundle that was offered is not in use, None if it is.
    """

    def __init__(self, first: Bundle, load: Callable[[Sources], Bundle] = load) -> None:
        self._current = first
        self._load = load
        self._failure: Exception | None = None
        self._changing = Lock()

    @property
    def current(self) -> Bundle:
        return self._current

    @property
    def failure(self) -> Exception | None:
        return self._failure

    def replace(self, sources: Sources) -> Bundle:
        """Put the bundle of *sources* in the place of the current one, and return it.

        If it cannot be loaded, the current one stays; what `load` raised is kept and raised.
        """
        with self._changing:
            try:
                if version_of(sources) != self._current.version:
                    self._current = self._load(sources)
            except Exception as error:
                self._failure = error
                raise
            self._failure = None
            return self._current

    def follow(self, found: Sources | BundleError) -> None:
        """Replace the current bundle by what was *found*, or keep it and the reason why."""
        if isinstance(found, BundleError):
            with self._changing:
                self._failure = found
            return
        # The failure is kept, and whoever follows a directory has to outlive every state of it.
        with suppress(Exception):
            self.replace(found)
