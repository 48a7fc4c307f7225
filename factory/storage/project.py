"""Where a project is: the folder with `definitions.py` and `lines/`, from wherever one stands in it."""

from pathlib import Path

from factory.errors import LineError


def project_root() -> Path:
    """Return the project's folder around the working folder, or around this library's checkout; raises LineError."""
    here = Path.cwd()
    for folder in (here, *here.parents, Path(__file__).resolve().parents[2]):
        if (folder / "definitions.py").is_file() and (folder / "lines").is_dir():
            return folder
    raise LineError(f"no project at {here} or above it: a project has definitions.py and lines/; change into one")


def found_root() -> Path | None:
    """Return the project's folder; None where there is none, as on a machine that only serves."""
    try:
        return project_root()
    except LineError:
        return None
