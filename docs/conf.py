"""Sphinx builds these pages and the reference of the Python API: `make docs`. Nothing is fetched from the web."""

import importlib.metadata
from typing import Any

project = "AI factory"
copyright = "the AI factory's authors, Apache-2.0"  # noqa: A001  Sphinx's name
release = importlib.metadata.version("ai-factory")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton"]
exclude_patterns = ["generate.py"]
pygments_style, pygments_dark_style = "friendly", "github-dark"
default_role = "code"  # docstrings write code between single backticks

myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_class_signature = "separated"
autodoc_default_options = {"exclude-members": "__init__"}
python_maximum_signature_line_length = 88

html_theme = "furo"
html_title = "AI factory"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {"sidebar_hide_name": False, "navigation_with_keys": True}

PAGES_ELSEWHERE = {"benchmarks/RESULTS.md": "measured.md", "CHANGELOG.md": "changelog.md"}
"""Pages of the repository outside this folder, and the ones here that include them."""


def setup(app: Any) -> None:
    """Let links to pages outside this folder, which work in the repository, work in the site too."""
    app.connect("source-read", _redirect)


def _redirect(_app: Any, page: str, source: list[str]) -> None:
    up = "../" * page.count("/")
    for elsewhere, here in PAGES_ELSEWHERE.items():
        source[0] = source[0].replace(f"]({up}../{elsewhere}", f"]({up}{here}")
