"""Which code makes features, as one digest: the line's own modules and the library's that they use.

Each file counts with the content it had when this process first read it: an imported module does not change when
another version is installed over its file.
"""

import functools
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from factory.model.code import library_digest
from factory.storage.journal import fingerprint

_LIBRARY = library_digest("data", "features")
"""Taken as this module is imported, for by then the library is in the process."""


def code_of(*functions: str) -> str:
    """Return a digest of the Python files beside each function's own, and of the library's that decide features.

    Functions are given as `package.module:name` and need not be imported yet: a digest taken before the import differs
    if a file changes during it. Raises ImportError or ValueError where a module has no file.
    """
    return fingerprint(_LIBRARY, sorted({_beside(_folder(function)) for function in functions}))


def _folder(function: str) -> Path:
    module = function.partition(":")[0]
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.has_location or spec.origin is None:
        raise ModuleNotFoundError(f"no file of a module {module!r}")
    return Path(spec.origin).parent


@functools.cache
def _beside(folder: Path) -> str:
    return fingerprint([[path.name, path.read_text(encoding="utf-8")] for path in sorted(folder.glob("*.py"))])


def dotted(function: Callable[..., Any]) -> str:
    """Return `package.module:name` of a function that can be imported by it; raises ValueError for any other."""
    name = f"{function.__module__}:{function.__qualname__}"
    if getattr(sys.modules.get(function.__module__), function.__qualname__, None) is not function:
        raise ValueError(f"{name} is no function of a module's own, so no other process can find it")
    return name
