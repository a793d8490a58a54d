"""The shape of our code, read from its text."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeVar

from tests.house.structure import (
    LONGEST_MODULE,
    MODULES,
    ROOT,
    Source,
    asserted,
    circle,
    covers,
    forbidden_imports,
    foreign_names,
    long_functions,
    modules_that_fail_alone,
    origins,
    places_outside,
    tracked_texts,
    vague_names,
    waits,
)

T = TypeVar("T", bound=Collection[object])


def each(found: Callable[[Source], T]) -> dict[str, T]:
    """Return what is *found* in each module where there is any of it."""
    every = {name: found(module) for name, module in MODULES.items()}
    return {name: some for name, some in every.items() if some}


def test_modules_import_only_the_layers_below_them() -> None:
    assert each(forbidden_imports) == {}


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circle(MODULES) == []


def test_every_module_can_be_the_first_that_is_imported() -> None:
    assert modules_that_fail_alone(origins(MODULES), foreign_names(), ROOT) == []


def test_reading_the_wire_waits_for_nothing() -> None:
    wire = [source for name, source in MODULES.items() if covers("proxy.wire", name)]

    assert [source.name for source in wire if waits(source.tree)] == []


def test_no_function_is_longer_than_fifty_lines() -> None:
    assert each(lambda module: long_functions(module.tree)) == {}


def test_no_module_is_longer_than_four_hundred_lines() -> None:
    lines = {name: module.text.count("\n") for name, module in MODULES.items()}

    assert {name: count for name, count in lines.items() if count > LONGEST_MODULE} == {}


def test_shipped_code_does_not_rely_on_assert() -> None:
    assert each(lambda module: asserted(module.tree)) == {}


def test_no_name_is_vague() -> None:
    assert each(vague_names) == {}


def test_no_text_names_a_place_outside_the_repository() -> None:
    found = {name: places_outside(text) for name, text in tracked_texts()}

    assert {name: lines for name, lines in found.items() if lines} == {}


def test_the_lock_pins_hashes_and_names_no_place_to_fetch_from() -> None:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()

    assert [line for line in lines if "://" in line or line.startswith("-")] == []
    assert any(line.strip().startswith("--hash=sha256:") for line in lines)
