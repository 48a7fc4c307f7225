"""Source code in, digests out that change when what the code does may change; a comment or a docstring changes none.

A module is read as its syntax tree, so that neither its comments, docstrings and layout count, nor where it lies.
"""

import ast
import functools
import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

LIBRARY = Path(__file__).resolve().parents[1]
"""The folder of this library."""
DRAWING = frozenset({"pictures.py", "curves.py", "holdout.py"})
"""Files of a task that its pages are drawn by: no model depends on them."""
FEATURE_ROOMS = ("factory.features.", "factory.data.")
"""Rooms of the library that a line's own code may compute features with."""


def library_digest(*places: str) -> str:
    """Return a digest of some of the library's rooms or files, such as `features` or `features/windows.py`.

    Raises ValueError where there is no such place: a misspelt one would never change.
    """
    return _combined((place, _place_digest(place)) for place in places)


def drawing_digest() -> str:
    """Return a digest of the library's files that decide how a page looks, and of nothing else."""
    pages = [path for room in ("reports", "charts") for path in (LIBRARY / room).rglob("*")]
    drawn = [path for path in (LIBRARY / "tasks").rglob("*.py") if path.name in DRAWING]
    return _combined(
        (str(path.relative_to(LIBRARY)), file_digest(path))
        for path in sorted([*pages, *drawn])
        if path.suffix in (".py", ".html", ".css")
    )


def function_digest(function: Callable[..., Any]) -> str:
    """Return a digest of a line's function: its module, and every module of the project's own that it imports.

    Modules that are installed are left out, but those of this library that compute features count.
    """
    name = function.__qualname__
    if function.__module__.startswith("factory."):
        return _combined([(name, file_digest(_file_of(function.__module__)))])
    return _combined([(name, ""), *((module, file_digest(path)) for module, path in sorted(closure(function)))])


def closure(function: Callable[..., Any]) -> Iterator[tuple[str, Path]]:
    """Yield the modules that decide what a function of a line does, and their files."""
    pending, seen = [function.__module__], set[str]()
    while pending:
        module = pending.pop()
        path = _own_file(module)
        if module in seen or path is None:
            continue
        seen.add(module)
        yield module, path
        if not module.startswith("factory."):
            pending += _imported(module, path)


@functools.cache
def file_digest(path: Path) -> str:
    """Return a digest of what a file says; taken once a process, for a module stays as it was imported."""
    content = path.read_bytes()
    if path.suffix == ".py":
        content = _meaning(content, str(path)).encode()
    return hashlib.sha256(content).hexdigest()[:16]


def _meaning(source: bytes, name: str) -> str:
    """Return a module's syntax tree as text, without its docstrings."""
    tree = ast.parse(source, name)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_text(body[0]):
            node.body = body[1:]  # type: ignore[attr-defined]  # it has one
        if hasattr(node, "type_params"):
            node.type_params = []  # Python 3.12 has them and 3.11 does not; nothing here uses them
    return ast.dump(tree)


def _is_text(statement: ast.AST) -> bool:
    """Whether a statement is a string on its own: a docstring, or the description below a name."""
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


@functools.cache
def _place_digest(place: str) -> str:
    path = LIBRARY / place
    if path.is_file():
        return file_digest(path)
    if not path.is_dir():
        raise ValueError(f"the library has no room or file {place!r}")
    files = sorted(file for file in path.rglob("*.py") if file.name not in DRAWING)
    return _combined((str(file.relative_to(LIBRARY)), file_digest(file)) for file in files)


def _combined(parts: Iterable[tuple[str, str]]) -> str:
    digest = hashlib.sha256()
    for name, content in parts:
        digest.update(f"{name}={content};".encode())
    return digest.hexdigest()[:16]


def _file_of(module: str) -> Path:
    """Return a module's file; raises ValueError where it has none."""
    spec = getattr(sys.modules.get(module), "__spec__", None) or find_spec(module)
    if spec is None or not spec.has_location or spec.origin is None:
        raise ValueError(f"no file of a module {module!r}")
    return Path(spec.origin)


def _own_file(module: str) -> Path | None:
    """Return the file of a module that is the project's own or computes features; None for any other."""
    if module.startswith("factory.") and not module.startswith(FEATURE_ROOMS):
        return None
    try:
        path = _file_of(module)
    except (ValueError, ImportError):
        return None
    is_installed = "site-packages" in path.parts or path.is_relative_to(Path(sys.base_prefix))
    return path if path.suffix == ".py" and (module.startswith("factory.") or not is_installed) else None


def _imported(module: str, path: Path) -> Iterator[str]:
    """Yield the modules that a module may import, wherever in it: of `from a import b` both `a` and `a.b`."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = ".".join(package.split(".")[: -(node.level - 1) or None]) if node.level else ""
            base = ".".join(filter(None, [above, node.module or ""]))
            yield base
            yield from (f"{base}.{name.name}" for name in node.names)
