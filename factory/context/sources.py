"""Which code makes features, as one digest: the line's own modules and the library's that they use."""

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from factory.provenance import code_digest, deciding_sources


def code_of(*functions: Callable[..., Any]) -> str:
    """Return a digest of the Python files beside each function's own, and of the library's that decide features."""
    folders = {Path(inspect.getfile(function)).parent for function in functions}
    return code_digest({*deciding_sources(), *(place for folder in folders for place in folder.glob("*.py"))})


def dotted(function: Callable[..., Any]) -> str:
    """Return `package.module:name` of a function that can be found by it; raises ValueError for any other."""
    name = f"{function.__module__}:{function.__qualname__}"
    if getattr(sys.modules.get(function.__module__), function.__qualname__, None) is not function:
        raise ValueError(f"{name} is no function of a module's own, so no other process can find it")
    return name
