"""Pages from templates: every value is escaped, a name that a template misspells is an error, nothing is fetched."""

import functools
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from factory.charts.drawing import drawn
from factory.charts.numbers import figure, percent, whole, words

TEMPLATES = Path(__file__).parent / "templates"


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = Markup((TEMPLATES / "style.css").read_text(encoding="utf-8"))  # noqa: S704  a file of ours
    environment.globals.update(style=style, drawn=drawn, figure=figure, percent=percent, whole=whole, words=words)
    return environment


def page(template: str, made_from: str, **what: Any) -> str:
    """Return a page; `made_from` is the fingerprint of everything it is drawn from."""
    return _environment().get_template(template).render(made_from=made_from, **what)
