"""Values of a table as Python, YAML and prose: whatever they hold, they stay values.

Python is written as the formatter would, so that a new line passes the project's checks.
"""

import html
import json
import re
import unicodedata
from typing import Any

import yaml

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./%-]*( [A-Za-z0-9_./%-]+)*")


def python_text(text: str) -> str:
    """Return a text as a Python literal in double quotes, unless single ones need fewer escapes."""
    seen_as_it_is = all(" " <= sign <= "~" or sign.isalpha() for sign in text)
    written = repr(text) if seen_as_it_is else ascii(text)
    inner = written[1:-1]
    if written[0] == '"' or text.count('"') > text.count("'"):
        return written
    return '"' + inner.replace("\\'", "'").replace('"', '\\"') + '"'


def python_value(value: Any) -> str:
    """Return a text, number or flag as a Python literal."""
    return python_text(value) if isinstance(value, str) else repr(value)


def width(code: str) -> int:
    """Return how many columns a line takes on a screen, as the linter counts: signs of East Asia take two."""
    return sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in code)


def yaml_value(value: Any) -> str:
    """Return a value as YAML in one line: texts plain where they are a word or two, else in double quotes, escaped."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{yaml_value(key)}: {yaml_value(held)}' for key, held in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(yaml_value, value))}]"
    if isinstance(value, str):
        return value if _is_plain(value) else f'"{"".join(map(_yaml_sign, value))}"'
    return json.dumps(value)


def _is_plain(text: str) -> bool:
    return bool(_PLAIN.fullmatch(text)) and yaml.safe_load(text) == text


def _yaml_sign(sign: str) -> str:
    if sign in '"\\':
        return f"\\{sign}"
    if " " <= sign <= "~" or (sign.isalpha() and ord(sign) < 0x10000):
        return sign
    return f"\\u{ord(sign):04x}" if ord(sign) < 0x10000 else f"\\U{ord(sign):08x}"


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
