"""Checks of the shape of code: who imports whom, how long things are, what they are called."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from itertools import accumulate
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHIPPED = ("policies", "storage", "proxy", "bench")

LONGEST_FUNCTION = 50
LONGEST_MODULE = 400

VAGUE = {"manager", "helper", "util", "base", "misc"}

IMPURE = (
    "aiohttp", "asyncio", "http.client", "logging", "os", "random", "secrets", "select",
    "selectors", "socket", "ssl", "structlog", "subprocess", "threading", "time",
    "urllib.request",
)  # fmt: skip

# The last character is bracketed so that no pattern matches the line it is written on.
OUTSIDE = (
    r"\.\./share[d]\b",
    r"(?<![\w.*-])/wor[k]/",
    r"(?<![\w.*-])/roo[t]/",
    r"--(extra-)?index-ur[l]\b",
    r"\bindex-url\s*[=]",
    r"\bpypi\.or[g]/simple",
    r"\bfiles\.pythonhosted\.or[g]",
    r"\bregistry\.npmjs\.or[g]",
)


@dataclass(frozen=True)
class Layer:
    """What the modules of one layer may import beside the standard library.

    `ours` are our own modules and packages; `foreign` are top-level packages of others, None for
    any; `never` is refused whatever it is.
    """

    ours: tuple[str, ...]
    foreign: tuple[str, ...] | None = None
    never: tuple[str, ...] = ()


LAYERS = {
    "policies.model": Layer(ours=(), foreign=()),
    "policies.polar": Layer(
        ours=("policies.polar", "policies.model"), foreign=("lark", "immutables")
    ),
    "policies": Layer(ours=("policies",), never=("aiohttp",)),
    "storage": Layer(ours=("storage", "policies.model"), never=("aiohttp",)),
    "proxy.wire": Layer(ours=("proxy.wire", "proxy.errors", "policies.model"), never=IMPURE),
    "proxy": Layer(ours=("proxy", "policies", "storage")),
    "bench": Layer(ours=("bench", "proxy", "policies", "storage")),
}


@dataclass(frozen=True)
class Source:
    """One module; `package` is what its relative imports start from."""

    name: str
    package: str
    text: str = field(repr=False)

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)


def read(path: Path) -> Source:
    parts = path.relative_to(ROOT).with_suffix("").parts
    package = ".".join(parts[:-1])
    name = package if parts[-1] == "__init__" else ".".join(parts)
    return Source(name, package, path.read_text(encoding="utf-8"))


MODULES = {
    source.name: source
    for room in SHIPPED
    for source in map(read, sorted((ROOT / room).rglob("*.py")))
}


def covers(name: str, module: str) -> bool:
    """Tell whether *module* is *name* or in it."""
    return module == name or module.startswith(f"{name}.")


def imports(nodes: Iterable[ast.AST], package: str, known: Iterable[str]) -> Iterator[str]:
    """Yield the modules that the import statements among *nodes* name."""
    for node in nodes:
        match node:
            case ast.Import(names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module, names, level):
                origin = absolute(package, module, level or 0)
                yield from (imported(origin, alias.name, known) for alias in names)
            case ast.Call(
                func=ast.Name(id="__import__") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield name


def absolute(package: str, module: str | None, level: int) -> str:
    parents = package.split(".")
    start = parents[: len(parents) + 1 - level] if level else []
    return ".".join([*start, *([module] if module else [])])


def imported(origin: str, name: str, known: Iterable[str]) -> str:
    """Return what `from origin import name` imports: one of our names is a module or in one."""
    whole = f"{origin}.{name}"
    is_ours = origin.partition(".")[0] in (*SHIPPED, "tests")
    return origin if is_ours and whole not in known else whole


def at_load(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what runs below *node* when its module is imported."""
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                continue
            case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING")):
                continue
        yield child
        yield from at_load(child)


def forbidden_imports(module: Source, known: Iterable[str] = MODULES) -> set[str]:
    """Return the modules that *module* imports and its layer may not."""
    layer = LAYERS[max((name for name in LAYERS if covers(name, module.name)), key=len)]
    found = imports(ast.walk(module.tree), module.package, known)
    return {name for name in found if not may_import(layer, name)}


def may_import(layer: Layer, name: str) -> bool:
    top = name.partition(".")[0]
    if any(covers(refused, name) for refused in layer.never):
        return False
    if top in (*SHIPPED, "tests"):
        return any(covers(allowed, name) for allowed in layer.ours)
    return top in sys.stdlib_module_names or layer.foreign is None or top in layer.foreign


def loading(modules: Mapping[str, Source]) -> dict[str, set[str]]:
    """Return which of *modules* the text of each imports while it is loaded."""
    return {
        name: set(imports(at_load(source.tree), source.package, modules)) & modules.keys()
        for name, source in modules.items()
    }


def circle(modules: Mapping[str, Source]) -> list[str]:
    """Return modules that import each other in a circle while loading; none if there are none."""
    try:
        TopologicalSorter(loading(modules)).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def origins(modules: Mapping[str, Source]) -> dict[str, str | None]:
    """Return what to load first, of what each module needs in any case: what brings the most.

    Where packages need what is in them the order matters, and what an interpreter loads first is
    the package of a module. None where there is nothing.
    """
    graph = {name: found | packages(name, modules) for name, found in loading(modules).items()}
    for found in graph.values():
        found |= {package for name in found for package in packages(name, modules)}
    needed = {name: reached(name, graph) for name in graph}
    return {
        name: max(packages(name, modules), key=len, default=None)
        if name in needed[name]
        else max(sorted(graph[name]), key=lambda one: len(needed[one]), default=None)
        for name in graph
    }


def packages(name: str, modules: Iterable[str]) -> set[str]:
    return {one for one in accumulate(name.split("."), "{}.{}".format) if one in modules} - {name}


def reached(start: str, graph: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        new = graph[waiting.pop()] - found
        found |= new
        waiting += new
    return found


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def long_functions(tree: ast.AST) -> dict[str, int]:
    """Return the functions that are too long, with their lines."""
    lines = {one.name: (one.end_lineno or 0) - one.lineno + 1 for one in functions(tree)}
    return {name: count for name, count in lines.items() if count > LONGEST_FUNCTION}


def vague_names(module: Source) -> set[str]:
    """Return those names of *module*, its classes and functions that hold an empty word."""
    named = [node.name for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef)]
    named += [one.name for one in functions(module.tree)]
    return {name for name in (*named, *module.name.split(".")) if words(name) & VAGUE}


def words(name: str) -> set[str]:
    """Return the words of *name* in the singular and in small letters."""
    found = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)
    return {form for word in found for form in (word.lower(), word.lower().removesuffix("s"))}


def asserted(tree: ast.AST) -> list[int]:
    """Return the lines of the statements that an interpreter may leave out."""
    return [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)]


def waits(tree: ast.AST) -> bool:
    waiting = ast.Await | ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith
    return any(isinstance(node, waiting) for node in ast.walk(tree))


def places_outside(text: str) -> list[str]:
    """Return the lines of *text* that name a place outside the repository."""
    pattern = re.compile("|".join(OUTSIDE))
    return [line for line in text.splitlines() if pattern.search(line)]


def tracked_texts() -> Iterator[tuple[str, str]]:
    """Yield the name and text of every text file that is, or is about to be, in the repository."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)  # noqa: S603  fixed
    for name in filter(None, listed.stdout.decode().split("\0")):
        path = ROOT / name
        content = path.read_bytes() if path.is_file() else b"\0"
        if b"\0" not in content:
            yield name, content.decode("utf-8", "replace")


IMPORT_EACH = """\
import gc, importlib, json, os, sys, traceback

foreign, origins = json.load(sys.stdin)
for name in foreign:
    try:
        importlib.import_module(name)
    except ImportError:
        pass

def fork_each(origin):
    for name in sorted(name for name, its in origins.items() if its == origin):
        child = os.fork()
        if not child:
            try:
                importlib.import_module(name)
            except BaseException:
                traceback.print_exc()
                os.write(1, name.encode() + b"\\n")
                os._exit(1)
            fork_each(name)
            os._exit(0)
        os.waitpid(child, 0)

gc.disable()  # it would copy in each process what all of them share
fork_each(None)
"""


def modules_that_fail_alone(
    origins: Mapping[str, str | None], foreign: Iterable[str], root: Path
) -> list[str]:
    """Return those of *origins* that cannot be the first of ours that an interpreter imports.

    Each is loaded where nothing else of ours is but its origin, and what that needs, which costs a
    fraction of a fresh interpreter: a fork of the process that has loaded the origin, or where
    there is none, of one that has loaded nothing but modules of others, among them those of the
    names *foreign*. Those whose origin fails are left out. What went wrong is told on stderr.
    """
    done = subprocess.run(  # noqa: S603  this interpreter and the text above
        [sys.executable, "-c", IMPORT_EACH],
        input=json.dumps([sorted(foreign), dict(origins)]),
        cwd=root,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout.split()


def foreign_names() -> set[str]:
    """Return what our modules import of others: names of modules, or of what is in one."""
    found = {
        name
        for source in MODULES.values()
        for name in imports(ast.walk(source.tree), source.package, MODULES)
    }
    ours = sys.stdlib_module_names | {*SHIPPED, "tests"}
    return {name for name in found if name.partition(".")[0] not in ours}
