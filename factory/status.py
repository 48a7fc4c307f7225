"""What each site has, what its last verdict said and what it serves: read from the lake and the model repository alone.

Neither the orchestrator nor the registry need be up.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from factory.errors import ModelRefused
from factory.journal import Journal
from factory.lake import Lake
from factory.names import LINE_SITE, model_name
from factory.report.shelf import Shelf
from factory.repository import ModelRepository
from factory.signing import public_key

ROWS = ("raw", "clean", "quarantine", "superseded")


def status(home: Path) -> dict[str, Any]:
    """Return `{"lines": {line: {"sites": {site: {"rows", "verdict", "serving", "page"}}, "page"}}}`, plain JSON types.

    A page is where the report lies, null where none was written yet.
    """
    root = home / "lake"
    lines = sorted(folder.name for folder in root.iterdir() if folder.is_dir()) if root.is_dir() else []
    return {"lines": {line: {"sites": line_status(home, line), "page": _page(home, line, LINE_SITE)} for line in lines}}


def line_status(home: Path, line: str) -> dict[str, Any]:
    """Return one line's sites; what a site does not have yet is null."""
    journal = Journal(Lake(home / "lake", line))
    repository = ModelRepository(home / "models")
    cleaned, verdicts = journal.latest("clean"), journal.latest("verdict")
    sites = sorted({*cleaned, *verdicts} - {LINE_SITE})
    return {
        site: {
            "rows": _rows(cleaned[site].figures) if site in cleaned else None,
            "verdict": _verdict(verdicts[site].figures) if site in verdicts else None,
            "serving": _serving(home, repository, model_name(line, site)),
            "page": _page(home, line, site),
        }
        for site in sites
    }


def _page(home: Path, line: str, site: str) -> str | None:
    place = Shelf(home / "reports", line).place(site)
    return str(place) if place.is_file() else None


def _rows(figures: Mapping[str, Any]) -> dict[str, int]:
    return {name: int(figures[name]) for name in ROWS}


def _verdict(figures: Mapping[str, Any]) -> dict[str, Any]:
    verdict = figures["verdict"]
    return {name: verdict[name] for name in ("passed", "reasons", "figures", "digest")}


def _serving(home: Path, repository: ModelRepository, model: str) -> dict[str, Any] | None:
    try:
        manifest = repository.load(model, public_key(home / "keys" / "release.pub")).manifest
    except (ModelRefused, OSError):
        return None  # nothing released, or a release that the gateway would refuse
    return {"version": manifest.version, "digest": manifest.digest, "since": manifest.released_at}
