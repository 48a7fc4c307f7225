"""Pages of Great Expectations' Data Docs in, the same pages out with nothing in them that is fetched from the web.

As they are made, styles, scripts, fonts and pictures come from eight hosts, and without them the index is empty. Here
they get one style sheet and one script of our own (`pages/`), copied beside them; links that lead to the makers' web
site, or to pages that were never made, become plain text.
"""

import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

ASSETS = Path(__file__).parent / "pages"
_PLACE = "static/factory"
_FETCHED = re.compile(
    r"<link\b[^>]*\bhref=\"https?://[^>]*>|<script\b[^>]*\bsrc=\"https?://[^>]*>\s*</script>|<footer\b.*?</footer>",
    re.DOTALL,
)
_PICTURE = re.compile(r"<img\b[^>]*\bsrc=\"https?://[^>]*>", re.DOTALL)
_LINK = re.compile(r"<a\b[^>]*\bhref=\"(?:https?://|[./]*expectations/)[^>]*>(.*?)</a>", re.DOTALL)
_STYLE_ADDRESS = re.compile(r"url\(\s*['\"]?https?://[^)]*\)")
_ICON = re.compile(r"<link rel=\"shortcut icon\"[^>]*>")


def detach(site: Path, pages: Iterable[Path]) -> None:
    """Rewrite pages of a site so that they need nothing but the site's own folder."""
    shutil.copytree(ASSETS, site / _PLACE, dirs_exist_ok=True)
    for page in pages:
        page.write_text(detached(page.read_text(encoding="utf-8"), _to_root(site, page)), encoding="utf-8")


def detached(page: str, root: str) -> str:
    """Return a page that fetches nothing from the web; `root` leads from it to the site's folder."""
    page = _FETCHED.sub("", page)
    page = _PICTURE.sub(f'<img src="{root}/static/images/logo-long.png" alt="Great Expectations">', page)
    page = _STYLE_ADDRESS.sub("none", _LINK.sub(r"\1", page))
    page = _ICON.sub(f'<link rel="shortcut icon" href="{root}/static/images/favicon.ico" type="image/x-icon">', page)
    assets = (
        f'<link rel="stylesheet" href="{root}/{_PLACE}/pages.css">\n<script src="{root}/{_PLACE}/pages.js"></script>'
    )
    return page if _PLACE in page else page.replace("</head>", f"{assets}\n</head>", 1)


def _to_root(site: Path, page: Path) -> str:
    return Path(os.path.relpath(site, page.parent)).as_posix()
