"""Values of a table as Python, YAML and prose: whatever they hold, they stay values.

Python is written as the formatter would, so that a new line passes the project's checks.
"""

import html
import re
from typing import Any

import yaml

_PLAIN = re.compile(r"[ -~À-ÖØ-öø-ÿ]*")  # what a reader of Western script sees as it is; the rest is escaped


def python_text(text: str) -> str:
    """Return a text as a Python literal in double quotes, unless single ones need fewer escapes."""
    written = repr(text) if _PLAIN.fullmatch(text) else ascii(text)
    inner = written[1:-1]
    if written[0] == '"' or text.count('"') > text.count("'"):
        return written
    return '"' + inner.replace("\\'", "'").replace('"', '\\"') + '"'


def python_value(value: Any) -> str:
    """Return a text, number or flag as a Python literal."""
    return python_text(value) if isinstance(value, str) else repr(value)


def yaml_value(value: Any) -> str:
    """Return a value as YAML in one line."""
    dumped = yaml.safe_dump(value, default_flow_style=True, width=10**9, allow_unicode=True, sort_keys=False)
    return dumped.removesuffix("\n").removesuffix("\n...")


def said(text: Any, longest: int = 60) -> str:
    """Return a text of a table for prose: one line, without the signs that templates, Markdown and HTML read."""
    plain = "".join(sign if sign.isprintable() else " " for sign in str(text))
    plain = re.sub(r"[{}`|<>\[\]*_\\#%]", lambda sign: "_" if sign.group() == "_" else "·", plain)
    plain = re.sub(r"\s+", " ", plain).strip()
    return plain if len(plain) <= longest else f"{plain[: longest - 1]}…"


def code_span(text: Any) -> str:
    """Return a text of a table for Markdown, in typewriter."""
    return f"`{said(text)}`" if said(text) else "(a name without a sign)"


def escaped(text: str) -> str:
    """Return prose for Markdown that is shown as HTML."""
    return html.escape(text, quote=False)
