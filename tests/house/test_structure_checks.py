"""The checks of the code's shape: each must fail on code that breaks its rule."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.house.structure import (
    Source,
    circle,
    forbidden_imports,
    long_functions,
    modules_that_fail_alone,
    origins,
    places_outside,
    vague_names,
    waits,
)


def source(
    text: str, name: str = "policies.polar.sample", package: str = "policies.polar"
) -> Source:
    return Source(name, package, text)


@pytest.mark.parametrize(
    ("name", "text", "refused"),
    [
        ("policies.model", "import lark", "lark"),
        ("policies.model", "from policies import facts", "policies.facts"),
        ("policies.polar.sample", "from policies.facts import FactSet", "policies.facts"),
        ("policies.polar.sample", "from ..facts import FactSet", "policies.facts"),
        ("policies.polar.sample", "from .. import facts", "policies.facts"),
        ("policies.polar.sample", "import rich.table", "rich.table"),
        ("policies.polar.sample", "def f():\n    import proxy.cli", "proxy.cli"),
        ("policies.polar.sample", "importlib.import_module('storage')", "storage"),
        ("policies.polar.sample", "__import__('tests.reference')", "tests.reference"),
        ("policies.pdp", "from aiohttp import web", "aiohttp.web"),
        ("policies.pdp", "import storage.tables", "storage.tables"),
        ("storage.tables", "from policies.polar import engine", "policies.polar.engine"),
        ("storage.tables", "import proxy", "proxy"),
        ("proxy.wire.sse", "from time import monotonic", "time.monotonic"),
        ("proxy.wire.sse", "from urllib import request", "urllib.request"),
        ("proxy.wire.sse", "import proxy.cli", "proxy.cli"),
        ("proxy.server", "from bench import policy", "bench.policy"),
    ],
)
def test_an_import_from_a_layer_above_is_found(name: str, text: str, refused: str) -> None:
    assert forbidden_imports(source(text, name)) == {refused}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("policies.model", "from dataclasses import dataclass"),
        (
            "policies.polar.sample",
            "from policies.model import Fact\nfrom . import syntax\nimport lark",
        ),
        ("policies.bundle", "from policies.polar.engine import Engine\nimport watchfiles"),
        ("storage.tables", "from policies.model import Fact\nimport sqlmodel"),
        ("proxy.wire.sse", "from policies.model import Fact\nfrom urllib.parse import quote"),
        ("proxy.server", "from aiohttp import web\nimport storage.tables"),
    ],
)
def test_an_import_from_a_layer_below_is_fine(name: str, text: str) -> None:
    assert forbidden_imports(source(text, name)) == set()


def test_a_circle_is_found_only_where_loading_runs_into_it() -> None:
    one = source("from policies.b import f", "policies.a", "policies")
    eager = source("from . import a", "policies.b", "policies")
    late = source("def f():\n    from . import a", "policies.b", "policies")
    typed = source("if TYPE_CHECKING:\n    from . import a", "policies.b", "policies")

    assert set(circle({"policies.a": one, "policies.b": eager})) == {"policies.a", "policies.b"}
    assert circle({"policies.a": one, "policies.b": late}) == []
    assert circle({"policies.a": one, "policies.b": typed}) == []


def test_a_module_that_needs_another_to_be_imported_first_is_found(tmp_path: Path) -> None:
    (tmp_path / "first.py").write_text("import second\nready = True\n")
    (tmp_path / "second.py").write_text("import first\nfirst.ready\n")

    origins = {"first": None, "second": None}
    assert modules_that_fail_alone(origins, ["no_such_package"], tmp_path) == ["first"]


def test_a_module_that_needs_what_another_brings_is_found(tmp_path: Path) -> None:
    (tmp_path / "low.py").write_text("")
    (tmp_path / "left.py").write_text("import low\nlow.ready = True\n")
    (tmp_path / "right.py").write_text("import low\nlow.ready\n")

    origins = {"low": None, "left": "low", "right": "low"}
    assert modules_that_fail_alone(origins, [], tmp_path) == ["right"]


def test_a_module_is_loaded_after_what_brings_most_of_what_it_needs() -> None:
    texts = {
        "policies": "",
        "policies.low": "",
        "policies.more": "import policies.low",
        "policies.top": "import policies.low, policies.more",
        "storage": "import storage.inside",
        "storage.inside": "import policies.top",
    }
    modules = {name: source(text, name, name.partition(".")[0]) for name, text in texts.items()}

    assert origins(modules) == {
        "policies": None,
        "policies.low": "policies",
        "policies.more": "policies.low",
        "policies.top": "policies.more",
        "storage": None,
        "storage.inside": "storage",
    }


def test_a_function_of_fifty_one_lines_is_found_and_one_of_fifty_is_not() -> None:
    body = "    pass\n"
    text = f"class C:\n  async def f():\n{body * 50}\ndef g():\n{body * 49}"

    assert long_functions(ast.parse(text)) == {"f": 51}


def test_waiting_is_found() -> None:
    assert waits(ast.parse("async def f(): pass"))
    assert not waits(ast.parse("def f(): pass"))


def test_vague_words_are_found_in_any_spelling() -> None:
    classes = "class ToolManager: pass\nclass HTTPBase: pass\n"
    text = classes + "def _url_utils(): pass\ndef database(): pass"

    found = vague_names(source(text, "proxy.helpers.names"))

    assert found == {"ToolManager", "HTTPBase", "_url_utils", "helpers"}


@pytest.mark.parametrize(
    "line",
    [
        "see ../^shared/notes.md",
        "cd /^work/main",
        "cache = '/^root/.cache'",
        "pip install --^index-url http://example.com",
        "--extra-^index-url http://example.com",
        "index-url ^= http://example.com",
        "https://pypi^.org/simple/",
        "https://files.pythonhosted^.org/packages/",
        "registry=https://registry.npmjs^.org/",
    ],
)
def test_a_place_outside_is_found(line: str) -> None:
    written = line.replace("^", "")  # without which this file itself would be found

    assert places_outside(f"first\n{written}\n") == [written]


@pytest.mark.parametrize("line", ["../sharing", "a/work/b", "working/", "uv --no-emit-index-url"])
def test_a_place_that_only_looks_alike_is_not_found(line: str) -> None:
    assert places_outside(line) == []
