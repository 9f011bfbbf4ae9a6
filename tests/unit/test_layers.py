"""Which modules import which: what import-linter cannot say (a whitelist) or does not read (Cython)."""

import ast
import re
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
TOP: Final = ("pipeline", "schemas", "sinks", "dashboards", "deploy")
KINDS: Final = (".py", ".pyx", ".pxd")
CYTHON: Final = re.compile(r"^\s*(?:from\s+([\w.]+)\s+c?import\s+\(?([\w, ]+)|c?import\s+([\w.]+))", re.MULTILINE)
#: Of the standard library what sees the outside world.
OUTSIDE: Final = frozenset(
    {"asyncio", "io", "logging", "multiprocessing", "os", "pathlib", "random", "signal", "socket", "ssl"}
    | {"subprocess", "tempfile", "threading", "time"}
)


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES: Final = {
    path: name_of(path)
    for top in TOP
    for path in sorted((ROOT / top).rglob("*"))
    if path.suffix in KINDS and "benchmarks" not in path.parts
}
NAMES: Final = frozenset(MODULES.values())


def imports_of(path: Path) -> set[str]:
    """What a module imports when it runs: dotted names, of ours the modules."""
    text = path.read_text()
    if path.suffix != ".py":
        pairs = [
            (module or plain, names.split(",") if names else []) for module, names, plain in CYTHON.findall(text)
        ]
    else:
        pairs = []
        waiting: list[ast.AST] = [ast.parse(text)]
        while waiting:
            node = waiting.pop()
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                continue
            if isinstance(node, ast.ImportFrom) and node.module:
                pairs.append((node.module, [one.name for one in node.names]))
            elif isinstance(node, ast.Import):
                pairs += [(one.name, []) for one in node.names]
            waiting += ast.iter_child_nodes(node)
    found: set[str] = set()
    for module, names in pairs:
        inner = {f"{module}.{name.strip()}" for name in names} & NAMES
        found |= inner or {module}
    return found


def is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


@pytest.mark.parametrize(
    ("room", "allowed"),
    [
        ("pipeline.core", ("pipeline.core", "pipeline.model", "schemas", "numpy", "cpython", "libc", "cython")),
        ("pipeline.model", ("pipeline.model", "schemas", "msgspec")),
        ("schemas", ("schemas", "msgspec", "pydantic", "annotated_types")),
    ],
)
def test_a_pure_room_imports_what_its_whitelist_names(room: str, allowed: tuple[str, ...]) -> None:
    wrong = [
        f"{name} imports {one}"
        for path, name in MODULES.items()
        if is_in(name, room)
        for one in sorted(imports_of(path))
        if not any(is_in(one, package) for package in allowed)
        and (one.split(".")[0] not in sys.stdlib_module_names or one.split(".")[0] in OUTSIDE)
    ]
    assert wrong == []


def test_modules_import_each_other_in_no_circle() -> None:
    graph: dict[str, set[str]] = {}
    for path, name in MODULES.items():
        graph.setdefault(name, set()).update((imports_of(path) & NAMES) - {name})
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))
    assert "pipeline.core.sessions.native.engine" in order


def test_rooms_of_the_core_import_each_other_in_no_circle() -> None:
    graph: dict[str, set[str]] = {}
    for path, name in MODULES.items():
        if is_in(name, "pipeline.core") and name != "pipeline.core":
            rooms = {
                one.split(".")[2] for one in imports_of(path) if is_in(one, "pipeline.core") and one.count(".") > 1
            }
            room = name.split(".")[2]
            graph.setdefault(room, set()).update(rooms - {room})
    try:
        assert {"sessions", "windows", "usual", "detection"} <= set(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))
