"""The floor plan in numbers: modules, functions, floors, circles; of this library, or of any folder of Python.

    python benchmarks/structure.py [FOLDER …]

A crumb is a module of under 40 lines; a private function is used once where its name stands in one other place of its
own module; a circle is a set of rooms (folders right below FOLDER) that import one another.
"""

import ast
import statistics
import sys
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def modules(folder: Path) -> dict[str, ast.Module]:
    """Return every module below a folder by its dotted name."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def imports(name: str, tree: ast.Module, known: set[str]) -> set[str]:
    """Return the modules that a module imports, of those known."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {f"{node.module}.{one.name}" for one in node.names} & known or {node.module} & known
        elif isinstance(node, ast.Import):
            found |= {one.name for one in node.names} & known
    return found - {name}


def functions(tree: ast.Module) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Return every function and method."""
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def used_once(tree: ast.Module) -> int:
    """Return how many private functions are used in one place."""
    private = {one.name for one in functions(tree) if one.name.startswith("_") and not one.name.endswith("__")}
    named = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]
    named += [node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    return sum(count == 1 for name, count in Counter(named).items() if name in private)


def circles(arrows: dict[str, set[str]]) -> str:
    """Return `none`, or a circle of rooms."""
    try:
        tuple(TopologicalSorter(arrows).static_order())
    except CycleError as error:
        return " > ".join(error.args[1])
    return "none"


def room_of(module: str, folder: Path) -> str:
    """Return the room that a module lies in; empty for a loose one."""
    _, _, inside = module.partition(".")
    first = inside.partition(".")[0]
    return first if first and (folder / first).is_dir() else ""


def told(folder: Path) -> str:
    """Return the numbers of one folder as text."""
    trees = modules(folder)
    arrows = {name: imports(name, tree, set(trees)) for name, tree in trees.items()}
    room = {name: room_of(name, folder) for name in trees}
    rooms: dict[str, set[str]] = {}
    for name, others in arrows.items():
        rooms.setdefault(room[name], set()).update({room[other] for other in others} - {room[name], ""})
    rooms.pop("", None)
    files = [len(path.read_text().splitlines()) for path in folder.rglob("*.py") if path.stem != "__init__"]
    every = [one for tree in trees.values() for one in functions(tree)]
    length = [(one.end_lineno or one.lineno) - one.lineno + 1 for one in every]
    once = sum(map(used_once, trees.values()))
    importers = Counter(other for others in arrows.values() for other in others)
    rows = {
        "modules": len(files),
        "loose modules": sum(1 for path in folder.glob("*.py") if path.stem != "__init__"),
        "rooms": len(rooms),
        "circle of rooms": circles(rooms),
        "lines": sum(files),
        "modules under 40 lines": sum(count < 40 for count in files),
        "modules with one importer": sum(count == 1 for count in importers.values()),
        "functions": len(every),
        "median lines of a function": statistics.median(length or [0]),
        "functions over 40 lines": sum(one > 40 for one in length),
        "private functions used once": f"{once} ({once / len(every):.0%})",
    }
    return "\n".join(f"{what:<28} {number}" for what, number in rows.items())


if __name__ == "__main__":
    for place in map(Path, sys.argv[1:] or [str(ROOT / "factory")]):
        sys.stdout.write(f"{place}\n{told(place.resolve())}\n")
