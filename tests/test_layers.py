"""The shape of the package: imports follow the flow of data, the front door is cheap to open, files stay readable."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import networkx as nx
import pytest

import gradviz

PACKAGE = Path(__file__).parent.parent / "gradviz"

# Data flows down this list: a module imports from its own line or from a line above it. A package counts as one module.
LAYERS = [
    ["collector", "errors", "fitting", "models", "moves", "opcall", "pieces", "signs", "statistics"],
    ["standin"],
    ["expression", "recover", "symbolic"],
    ["recording", "rerun"],
    ["attributes"],
    ["graph"],
    ["edge_partial"],
    ["partials"],
    ["paths", "saved"],
    ["compare"],
    ["assemble"],
    ["tracing"],
    ["check"],
    ["view"],
    ["diagnose"],
    ["explain", "render"],
    ["runs"],
    ["details", "outline", "slices"],
    ["bands", "relief"],
    ["frames"],
    ["stage"],
    ["player"],
    ["slides"],
    ["ops", "schema", "target", "testing"],
    ["cli"],
    ["__main__", "app"],
]

# Imports inside a function that point back, each with its reason.
LAZY: dict[tuple[str, str], str] = {
    ("graph", "check"): "graph.check() is the public way to the check, which reads graphs",
    ("graph", "compare"): "graph.compare() is the public way to the comparison, which reads graphs",
    ("graph", "diagnose"): "graph.diagnose() is the public way to findings, which are about graphs",
    ("graph", "saved"): "graph.save() is the public way to files, which hold graphs",
    ("graph", "paths"): "graph.paths() is the public way to them, and they read graphs",
    ("graph", "slides"): "graph.save_slides() is the public way to slides, which show graphs",
    ("graph", "player"): "graph.player() and graph.render() are the public ways to players, which show graphs",
    ("graph", "frames"): "graph.frames() is the public way to frames, which show graphs",
    ("graph", "explain"): "graph.explain() is the public way to explanations, which read graphs",
    ("graph", "view"): "graph.view() and graph.render() are the public ways to pictures, which read graphs",
    ("graph", "render"): "graph.view() and graph.render() are the public ways to pictures, which read graphs",
}

LAYER_OF = {module: place for place, layer in enumerate(LAYERS) for module in layer}
FRONT_DOOR = "__init__"


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """One import of a gradviz module by another."""

    importer: str
    imported: str
    lazy: bool
    where: str


def source_files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def module_of(path: Path) -> str:
    """`gradviz/symbolic/rules.py` -> `symbolic`."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def dotted(path: Path) -> str:
    """`gradviz/symbolic/rules.py` -> `gradviz.symbolic.rules`; a package's `__init__.py` is the package."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_names(node: ast.Import | ast.ImportFrom, path: Path) -> Iterator[str]:
    """The full dotted names that an import statement may bind, relative ones resolved."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    base = node.module or ""
    if node.level:
        package = dotted(path) if path.name == "__init__.py" else dotted(path).rpartition(".")[0]
        base = importlib.util.resolve_name("." * node.level + base, package)
    yield from (f"{base}.{alias.name}" for alias in node.names)


def imports_in(source: str, path: Path) -> Iterator[Import]:
    """Every import of gradviz in a file's text; the names of the front door itself are `__init__`."""
    tree = ast.parse(source)
    typing_only = {
        id(inner)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test).endswith("TYPE_CHECKING")
        for inner in ast.walk(block)
    }
    in_functions = {
        id(inner)
        for function in ast.walk(tree)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
        for inner in ast.walk(function)
    }
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Import, ast.ImportFrom)) or id(node) in typing_only:
            continue
        for name in imported_names(node, path):
            root, _, rest = name.partition(".")
            if root != "gradviz":
                continue
            first = rest.partition(".")[0]
            is_module = (PACKAGE / f"{first}.py").exists() or (PACKAGE / first / "__init__.py").exists()
            yield Import(
                importer=module_of(path),
                imported=first if first and is_module else FRONT_DOOR,
                lazy=id(node) in in_functions,
                where=f"{path.name}:{node.lineno}",
            )


def all_imports() -> list[Import]:
    """Every import between two different modules of the package; the front door may import what it likes."""
    return [
        found
        for path in source_files()
        for found in imports_in(path.read_text(), path)
        if found.importer not in (FRONT_DOOR, found.imported)
    ]


def points_back(found: Import) -> bool:
    """Only the front ends stand after the front door."""
    last = len(LAYERS) - 1
    return LAYER_OF.get(found.imported, last) > LAYER_OF[found.importer]


def test_every_module_has_a_layer() -> None:
    modules = {module_of(path) for path in source_files()} - {FRONT_DOOR}
    assert modules <= set(LAYER_OF), f"not in LAYERS: {sorted(modules - set(LAYER_OF))}"


def test_no_import_points_back() -> None:
    assert [
        f"{found.where} imports {found.imported}"
        for found in all_imports()
        if points_back(found) and not (found.lazy and (found.importer, found.imported) in LAZY)
    ] == []


def test_every_lazy_exemption_is_in_use() -> None:
    used = {(found.importer, found.imported) for found in all_imports() if found.lazy}
    assert set(LAZY) <= used, f"no longer needed: {sorted(set(LAZY) - used)}"


def test_imports_at_load_time_have_no_cycle() -> None:
    graph = nx.DiGraph((found.importer, found.imported) for found in all_imports() if not found.lazy)
    assert nx.is_directed_acyclic_graph(graph), nx.find_cycle(graph)


@pytest.mark.parametrize(
    ("line", "imported", "lazy"),
    [
        ("from gradviz.opcall import OpCall", "opcall", False),
        ("import gradviz.opcall", "opcall", False),
        ("from gradviz import opcall", "opcall", False),
        ("from .opcall import OpCall", "opcall", False),
        ("from . import opcall", "opcall", False),
        ("from gradviz import no_such_module", FRONT_DOOR, False),
        ("def late():\n    from gradviz.errors import GradvizError", "errors", True),
    ],
)
def test_each_form_of_import_is_seen(line: str, imported: str, lazy: bool) -> None:
    found = list(imports_in(line, PACKAGE / "graph.py"))
    assert [(one.imported, one.lazy) for one in found] == [(imported, lazy)]


def test_an_import_for_types_only_does_not_count() -> None:
    source = "if TYPE_CHECKING:\n    from gradviz.errors import GradvizError"
    assert list(imports_in(source, PACKAGE / "graph.py")) == []


def test_a_graph_that_imports_a_renderer_points_back() -> None:
    assert points_back(Import(importer="graph", imported="render", lazy=False, where=""))
    assert points_back(Import(importer="graph", imported=FRONT_DOOR, lazy=False, where=""))
    assert not points_back(Import(importer="render", imported="graph", lazy=False, where=""))
    assert not points_back(Import(importer="app", imported=FRONT_DOOR, lazy=False, where=""))


def test_import_gradviz_loads_nothing_heavy() -> None:
    # What torch loads by itself is not ours to answer for, hence the reading before and after.
    script = "import sys, torch; before = set(sys.modules); import gradviz; print(*sorted(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert "gradviz.tracing" in loaded
    assert not {"PIL", "networkx", "pptx", "pypdfium2", "reportlab", "streamlit", "sympy"} & set(loaded)


def test_all_is_sorted_and_everything_in_it_can_be_imported() -> None:
    assert gradviz.__all__ == sorted(gradviz.__all__)
    for name in gradviz.__all__:
        assert getattr(gradviz, name) is not None


def test_nothing_public_is_missing_from_all() -> None:
    visible = {name for name, value in vars(gradviz).items() if not isinstance(value, ModuleType)}
    public = {name for name in visible if not name.startswith("_")}
    assert public - {"annotations"} <= set(gradviz.__all__)


@pytest.mark.parametrize("path", source_files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_has_at_most_400_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


def test_a_function_has_at_most_60_lines_beside_its_docstring() -> None:
    assert [
        f"{path.relative_to(PACKAGE)}:{function.lineno} {function.name}"
        for path in source_files()
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)) and lines_beside_docstring(function) > 60
    ] == []


def lines_beside_docstring(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    told = (ast.get_docstring(function, clean=False) or "").splitlines()
    return (function.end_lineno or function.lineno) - function.lineno + 1 - len(told)


@pytest.mark.parametrize("front", sorted(PACKAGE.rglob("__init__.py")), ids=lambda path: path.parent.name)
def test_the_docstring_of_a_package_names_each_of_its_modules(front: Path) -> None:
    told = set(re.findall(r"\w+", ast.get_docstring(ast.parse(front.read_text())) or ""))
    modules = {path.stem for path in front.parent.glob("*.py")} - {FRONT_DOOR, "__main__"}
    packages = {path.parent.name for path in front.parent.glob("*/__init__.py")}
    assert sorted((modules | packages) - told) == []


def test_no_two_test_files_have_the_same_name() -> None:
    names = Counter(path.name for path in Path(__file__).parent.rglob("*.py") if path.name != "conftest.py")
    assert [name for name, times in names.items() if times > 1] == [], "pytest imports files by their names alone"
