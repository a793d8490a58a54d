"""`northgate policy fmt`."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile

from policies.polar.format import format_text
from policies.polar.parser import parse
from policies.polar.source import PolicyError, Problem
from proxy.cli.policy import console, problems
from proxy.cli.policy.console import counted, visible
from proxy.cli.policy.endings import Code
from proxy.cli.policy.inputs import InputError, find_policy, texts

_STDIN = "<stdin>"


def run(paths: Sequence[Path], *, check: bool, json: bool) -> int:
    if Path("-") in paths:
        if len(paths) > 1 or json:
            raise InputError.saying("`-` goes alone, and without --json.")
        return _filter(check=check)
    sources = find_policy(paths).sources
    changed: list[str] = []
    broken: list[Problem] = []
    for file, text in sources.items():
        try:
            formatted = _formatted(file, text)
        except PolicyError as error:
            broken += error.problems
            continue
        if formatted != text:
            changed.append(file)
            if not check:
                _replace(Path(file), formatted)
    _report(sources, changed, broken, check=check, json=json)
    return Code.UNUSABLE if broken else Code.NO if check and changed else Code.GOOD


def _filter(*, check: bool) -> int:
    text = sys.stdin.buffer.read()
    try:
        formatted = _formatted(_STDIN, text)
    except PolicyError as error:
        raise InputError(error.problems, texts({_STDIN: text})) from error
    if not check:
        sys.stdout.buffer.write(formatted)
        return Code.GOOD
    return Code.GOOD if formatted == text else Code.NO


def _formatted(file: str, text: bytes) -> bytes:
    try:
        decoded = text.decode()
    except UnicodeDecodeError:
        raise PolicyError(parse(file, text).problems) from None
    return format_text(file, decoded).encode()


def _replace(path: Path, text: bytes) -> None:
    """Put *text* where *path* is, whole or not at all, through links and with the same mode."""
    target = path.resolve()
    try:
        with NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as file:
            try:
                file.write(text)
                file.close()
                shutil.copymode(target, file.name)
                Path(file.name).replace(target)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise InputError.saying(f"cannot write {path}: {error.strerror}.") from error


def _report(
    sources: dict[str, bytes],
    changed: Sequence[str],
    broken: Sequence[Problem],
    *,
    check: bool,
    json: bool,
) -> None:
    problems.print_problems(console.err(), broken, texts(sources))
    bad = {problem.span.file for problem in broken}
    same = [file for file in sources if file not in bad and file not in changed]
    if json:
        console.print_json(
            {
                "changed": list(changed),
                "unchanged": same,
                "problems": [problems.as_json(problem) for problem in broken],
            }
        )
        return
    out = console.out()
    for file in changed:
        out.print(visible(file))
    verb = "would change" if check else "changed"
    out.print(f"{counted(len(changed), 'file')} {verb}, {len(same)} unchanged")
