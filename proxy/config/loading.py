"""All settings at once: variables over the file, the file over defaults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from policies.polar.suggest import did_you_mean
from proxy.config.checks import Draft, cautions, contradictions
from proxy.config.entries import Entry, Given, KeyPath
from proxy.config.environment import read_variables
from proxy.config.mcpjungle import read_foreign
from proxy.config.problems import Problem, SettingsError, dotted
from proxy.config.references import exposure, has_password, is_written_in_place, resolve
from proxy.config.sinks import sink_cautions, sink_contradictions
from proxy.config.tomlfile import read_file
from proxy.config.tree import Settings
from proxy.config.values import read_database
from proxy.identity.sealing import Secret

DEFAULT_DATA_DIR: Final = Path("northgate-data")
UNREADABLE: Final = object()


def load(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """Return the settings of the file at *path*, if any, and of the variables in *environ*.

    `NORTHGATE_*` wins over the file, the file over variables of MCPJungle, those over defaults.
    Relative paths start at the working directory. Raises `SettingsError` with every problem.
    """
    loading = _Loading(environ)
    filed = read_file(path) if path else Given()
    ours = read_variables(environ, filed.upstreams)
    theirs, warnings = read_foreign(environ)
    loading.warnings += warnings
    loading.problems += [*filed.problems, *ours.problems, *theirs.problems]
    for given in (ours, filed):
        loading.take(given)
    loading.take_foreign(theirs)
    return loading.finished()


class _Loading:
    """One load: what has been read, what was wrong, what is to be warned of."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.draft = Draft()
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self._environ = environ

    def take(self, given: Given) -> None:
        """Take what has not been given before; what has is checked all the same."""
        for name, where in given.upstreams.items():
            self.draft.upstreams.setdefault(name, where)
        for name, where in given.sinks.items():
            self.draft.sinks.setdefault(name, where)
        for entry in given.entries:
            value = self._read(entry)
            if entry.path in self.draft.places:
                continue
            self.draft.places[entry.path] = entry.where
            if value is UNREADABLE:
                self.draft.wrong.add(entry.path)
            else:
                self.draft.values[entry.path] = value
        self._warn_of_exposure(given)

    def take_foreign(self, given: Given) -> None:
        """Take MCPJungle's settings, and warn of those that ours overrule with another value."""
        for entry in given.entries:
            if entry.path in self.draft.values:
                value = self._read(entry)
                if value is not UNREADABLE and not _same(value, self.draft.values[entry.path]):
                    message = (
                        f"Not used: {self.draft.places[entry.path]} says otherwise. Remove one."
                    )
                    self.warnings.append(Problem(entry.leaf.key, message, entry.where))
        fresh = [entry for entry in given.entries if entry.path not in self.draft.places]
        self.take(Given(entries=fresh))

    def finished(self) -> Settings:
        """Return the settings if nothing was wrong. Raises `SettingsError`."""
        problems = [
            *self.problems,
            *contradictions(self.draft),
            *sink_contradictions(self.draft),
        ]
        if problems:
            raise SettingsError(dict.fromkeys(problems))
        self.warnings += [*cautions(self.draft), *sink_cautions(self.draft)]
        return _built(self.draft, self.warnings)

    def _read(self, entry: Entry) -> Any:  # noqa: ANN401  any setting's value
        """Return the value, or UNREADABLE and a problem noted."""
        value, sentence = entry.value, ""
        if entry.leaf.is_secret:
            try:
                value = resolve(value, self._environ, lambda path: self._watch(path, entry))
            except ValueError as error:
                sentence = str(error)
        if not sentence:
            value, sentence = _checked(value, entry)
        if not sentence:
            return value
        self.problems.append(Problem(dotted(entry.path), sentence, entry.where))
        return UNREADABLE

    def _watch(self, path: Path, entry: Entry) -> None:
        self._warn(exposure(path, dotted(entry.path)))

    def _warn_of_exposure(self, given: Given) -> None:
        held = (one for one in given.entries if _is_kept_here(one))
        first = next(held, None)
        if given.private_file and first:
            self._warn(exposure(given.private_file, dotted(first.path)))

    def _warn(self, warning: Problem | None) -> None:
        if warning and warning not in self.warnings:
            self.warnings.append(warning)


def _checked(value: object, entry: Entry) -> tuple[Any, str]:
    """Return *value* in its type, and a sentence if it is not of it.

    The error that pydantic raised ends here: it holds the value, which might be a secret.
    """
    leaf = entry.leaf
    adapter: TypeAdapter[Any] = leaf.adapter
    try:
        return adapter.validate_python(tuple(value) if isinstance(value, list) else value), ""
    except ValidationError as error:
        reasons = error.errors(include_url=False, include_input=False)
    own = [str(one["ctx"]["error"]) for one in reasons if one["type"] == "value_error"]
    hint = did_you_mean(value, leaf.choices) if isinstance(value, str) and leaf.choices else ""
    return None, own[0] if own else f"This has to be {leaf.wanted}. {hint}".rstrip()


def _is_kept_here(entry: Entry) -> bool:
    """Tell whether the text of *entry* is a secret itself."""
    if not entry.leaf.is_secret:
        return False
    if entry.leaf.key == "database.url":
        return has_password(entry.value)
    return is_written_in_place(entry.value)


def _same(one: object, other: object) -> bool:
    if isinstance(one, Secret) and isinstance(other, Secret):
        return one.reveal() == other.reveal()
    return one == other


def _built(draft: Draft, warnings: list[Problem]) -> Settings:
    values = dict(draft.values)
    place = values.setdefault(("data_dir",), DEFAULT_DATA_DIR)
    values.setdefault(("policy", "path"), place / "policies")
    if ("database", "url") not in values:
        text = f"sqlite:///{place / 'northgate.db'}"
        values["database", "url"] = read_database(Secret(text.encode()))
    tree: dict[str, Any] = {"warnings": tuple(warnings)}
    for path, value in _with_upstreams(values, draft.upstreams):
        table = tree
        for part in path[:-1]:
            table = table.setdefault(part, {})
        table[path[-1]] = value
    return Settings.model_validate(tree)


def _with_upstreams(
    values: Mapping[KeyPath, Any], upstreams: Mapping[str, str]
) -> Iterator[tuple[KeyPath, Any]]:
    for name in upstreams:
        yield ("upstreams", name), {}
    yield from values.items()
