"""Where pages lie: `<root>/<line>/<site>.html` and `<root>/<line>/index.html`, each written whole or not at all."""

import re
from dataclasses import dataclass
from pathlib import Path

from factory.names import LINE_SITE, checked_name
from factory.storage.atomic_files import create_file, sync_folder, temporary_name

LINE_PAGE = "index.html"
_FINGERPRINT = re.compile(r'<meta name="factory-mark" content="([0-9a-f]+)">')
_HEAD = 2000
"""A page has its fingerprint within so many characters from its beginning."""


def page_name(site: str) -> str:
    """Return a site's file name; a site called index must not take the line's place, and no name begins with `_`."""
    if site == LINE_SITE:
        return LINE_PAGE
    name = checked_name(site)
    return f"_{name}.html" if name.casefold() == "index" else f"{name}.html"


class LineReports:
    """The pages of one line."""

    def __init__(self, root: Path, line: str) -> None:
        self.folder = root / checked_name(line, "line")

    def place(self, site: str) -> Path:
        """Return where a site's page lies, or would lie; LINE_SITE has the line's."""
        return self.folder / page_name(site)

    def fingerprint(self, site: str) -> str | None:
        """Return the fingerprint of what the page was made from; None without a page, or without one in it."""
        try:
            with self.place(site).open(encoding="utf-8") as file:
                match = _FINGERPRINT.search(file.read(_HEAD))
        except (OSError, UnicodeDecodeError):
            return None
        return match[1] if match else None

    def put(self, site: str, content: str) -> Path:
        """Write a page in one rename: whoever looks sees the old one or the new one, whole."""
        place = self.place(site)
        self.folder.mkdir(parents=True, exist_ok=True)
        draft = self.folder / temporary_name(place.name)
        try:
            create_file(draft, content.encode(), mode=0o644)
            draft.replace(place)
        finally:
            draft.unlink(missing_ok=True)
        sync_folder(self.folder)
        return place


@dataclass(frozen=True, kw_only=True)
class Reports:
    """HTML pages in a folder, one folder a line; losing them costs the seconds to draw them again."""

    root: Path

    def of(self, line: str) -> LineReports:
        """Return one line's pages."""
        return LineReports(self.root, line)
