"""`new_project`: a name in, a repository of one's own out, in the shape of this library's own; whole or not at all."""

import importlib.metadata
import re
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from packaging.version import Version

from factory.errors import LineError, NameRefused
from factory.storage.atomic_files import temporary_name

TEMPLATE = Path(__file__).parent / "project"
SUFFIX = ".txt"
"""What a template's file has behind its name, so that nobody takes it for a module of the library."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")
_HIDDEN = {"gitignore": ".gitignore"}
"""Files that a version control system would follow in the library's own repository."""


@dataclass(frozen=True, kw_only=True)
class Project:
    """A project that was written."""

    folder: Path
    files: tuple[str, ...]


def new_project(name: str, above: Path) -> Project:
    """Write a project into a new folder `name`; raises NameRefused, or LineError where the folder is there already."""
    if not _NAME.fullmatch(name):
        raise NameRefused(f"project name {name!r} is refused: use letters, digits, '_' and '-', the first a letter")
    folder = above / name
    if folder.exists():
        raise LineError(f"{folder} exists already; choose another name, or remove the folder first")
    files = files_of(name)
    _write(folder, files)
    return Project(folder=folder, files=tuple(sorted(files)))


def files_of(name: str) -> dict[str, str]:
    """Return the project's files by their path in its folder."""
    library = Version(importlib.metadata.version("ai-factory"))
    words = {
        "title": name,
        "distribution": re.sub(r"[_-]+", "-", name).strip("-").lower(),
        "library": library.public,
        "next_library": f"{library.major}.{library.minor + 1}",
    }
    return {_named(path): _filled(path.read_text(encoding="utf-8"), words) for path in _template_files()}


def _template_files() -> list[Path]:
    return sorted(path for path in TEMPLATE.rglob(f"*{SUFFIX}") if path.is_file())


def _named(path: Path) -> str:
    name = str(path.relative_to(TEMPLATE)).removesuffix(SUFFIX)
    return _HIDDEN.get(name, name)


def _filled(text: str, words: dict[str, str]) -> str:
    """Return a template with its words filled in; any other braces are the file's own."""
    return re.sub(r"\{(\w+)\}", lambda found: words.get(found[1], found[0]), text)


def _write(folder: Path, files: dict[str, str]) -> None:
    """Write the files beside their place and move them in at once."""
    beside = folder.parent / temporary_name(folder.name)
    try:
        for name, text in files.items():
            place = beside / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, encoding="utf-8")
            if text.startswith("#!"):
                place.chmod(place.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
        beside.rename(folder)
    except OSError as error:
        raise LineError(f"{folder} cannot be written: {error}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
