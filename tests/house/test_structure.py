"""The shape of our code, read from its text."""

from __future__ import annotations

import ast

import pytest

from tests.house.structure import (
    LONGEST_MODULE,
    MODULES,
    ROOT,
    Source,
    circle,
    covers,
    forbidden_imports,
    foreign_names,
    long_functions,
    modules_that_fail_alone,
    places_outside,
    tracked_texts,
    vague_names,
    waits,
)

each_module = pytest.mark.parametrize("module", MODULES.values(), ids=MODULES)


@each_module
def test_a_module_imports_only_the_layers_below_it(module: Source) -> None:
    assert forbidden_imports(module) == set()


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circle(MODULES) == []


def test_every_module_can_be_the_first_that_is_imported() -> None:
    assert modules_that_fail_alone(MODULES, foreign_names(), ROOT) == []


def test_reading_the_wire_waits_for_nothing() -> None:
    wire = [source for name, source in MODULES.items() if covers("proxy.wire", name)]

    assert [source.name for source in wire if waits(source.tree)] == []


@each_module
def test_no_function_is_longer_than_fifty_lines(module: Source) -> None:
    assert long_functions(module.tree) == {}


@each_module
def test_no_module_is_longer_than_four_hundred_lines(module: Source) -> None:
    lines = module.text.count("\n")

    assert lines <= LONGEST_MODULE


@each_module
def test_shipped_code_does_not_rely_on_assert(module: Source) -> None:
    assert [node.lineno for node in ast.walk(module.tree) if isinstance(node, ast.Assert)] == []


@each_module
def test_no_name_is_vague(module: Source) -> None:
    assert vague_names(module) == set()


def test_no_text_names_a_place_outside_the_repository() -> None:
    found = {name: places_outside(text) for name, text in tracked_texts()}

    assert {name: lines for name, lines in found.items() if lines} == {}


def test_the_lock_pins_hashes_and_names_no_place_to_fetch_from() -> None:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()

    assert [line for line in lines if "://" in line or line.startswith("-")] == []
    assert any(line.strip().startswith("--hash=sha256:") for line in lines)
