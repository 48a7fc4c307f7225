"""The declared keys of a line's file in, their JSON schema and their reference page out.

Both are made from the dataclasses of factory/line/sections.py: types and defaults by pydantic, descriptions from the
docstrings below the fields, which loading a line never reads.
"""

import ast
import inspect
import json
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from factory.errors import LineError
from factory.line.sections import LineSections

SCHEMA_FILE = "line.schema.json"
"""The schema's place in a project, in `lines/`."""
EDITOR_LINE = f"# yaml-language-server: $schema=../{SCHEMA_FILE}"
"""The first line of a line's file, by which editors find the schema."""
TEMPLATE = r"^\s*\{[{%].*[%}]\}\s*$"
INTEGER = r"^\s*[-+]?\d+\s*$"
NUMBER = r"^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$"
_SCALARS = {"integer": f"{TEMPLATE}|{INTEGER}", "number": f"{TEMPLATE}|{NUMBER}", "boolean": TEMPLATE}
"""What a text must be like to stand for a value of such a type."""


class _Schema(GenerateJsonSchema):
    """JSON schema of sections: a section of several kinds is any of them, for a default kind fits beside another."""

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> JsonSchemaValue:
        kinds = super().tagged_union_schema(schema)
        kinds["anyOf"] = kinds.pop("oneOf")
        return kinds


@cache
def _declared() -> dict[str, Any]:
    schema = TypeAdapter(LineSections).json_schema(schema_generator=_Schema)
    for section in sections():
        written = schema if section is LineSections else schema["$defs"][section.__name__]
        descriptions = key_descriptions(section)
        for name, key in written["properties"].items():
            key.pop("title", None)
            key["description"] = descriptions[name]
    inlined: dict[str, Any] = _inlined(schema, schema.pop("$defs"))
    return inlined


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    """Return a schema with each reference replaced by what it refers to, so that it can stand inside any other."""
    if isinstance(schema, list):
        return [_inlined(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    rest = {name: _inlined(item, definitions) for name, item in schema.items() if name != "$ref"}
    rest = _also_as_text(rest)
    if (reference := schema.get("$ref")) is None:
        return rest
    return {**_inlined(definitions[reference.rpartition("/")[2]], definitions), **rest}


def attributes_schema() -> dict[str, Any]:
    """Return the JSON schema of what stands under `attributes`."""
    return dict(_declared())


def file_schema() -> dict[str, Any]:
    """Return the JSON schema of a whole line's file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A production line",
        "type": "object",
        "properties": {
            "type": {"const": "assets.ProductionLine", "description": "The component that reads this file."},
            "attributes": attributes_schema(),
            "requirements": {"type": "object", "description": "What the orchestrator needs, such as `env`."},
            "template_vars_module": {"type": "string", "description": "A module of values for templates."},
            "post_processing": {"type": "object", "description": "The orchestrator's changes of the line's assets."},
        },
        "required": ["type", "attributes"],
        "additionalProperties": False,
    }


def schema_text() -> str:
    """Return what a project's schema file holds."""
    return json.dumps(file_schema(), indent=1, ensure_ascii=False) + "\n"


def write_schema(root: Path) -> Path:
    """Write a project's schema file and return its place; raises LineError where it cannot be written."""
    place = root / "lines" / SCHEMA_FILE
    try:
        place.write_text(schema_text(), encoding="utf-8")
    except OSError as error:
        raise LineError(f"{place} cannot be written: {error.strerror}") from error
    return place


def _also_as_text(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a scalar's schema so that it may be written as a template, and a number as what YAML takes for text."""
    pattern = _SCALARS.get(kind) if isinstance(kind := schema.get("type"), str) else None
    if pattern is None:
        return schema
    kept: dict[str, Any] = {name: schema[name] for name in ("description", "default", "examples") if name in schema}
    exact = {name: value for name, value in schema.items() if name not in kept}
    return {"if": {"type": "string", "pattern": pattern}, "then": True, "else": exact, **kept}


def page() -> str:
    """Return the reference page of a line's file, in Markdown."""
    parts = [_INTRODUCTION, *(_section(section) for section in sections())]
    return "\n\n".join(parts) + "\n"


def _section(section: Any) -> str:
    hints = get_type_hints(section, include_extras=True)
    title = "`attributes`" if section is LineSections else section.__name__
    rows = [
        f"| `{key.name}` | {_type_text(hints[key.name])} | {_default(key)} | {_cell(key, section)} |"
        for key in fields(section)
    ]
    head = ["| key | what to write | default | |", "|---|---|---|---|"]
    return "\n".join([f"## {title}", "", " ".join((section.__doc__ or "").split()), "", *head, *rows])


def _cell(key: Field[Any], section: type) -> str:
    examples = ", ".join(f"`{example}`" for example in key.metadata.get("examples", ()))
    described = key_descriptions(section)[key.name].replace("|", "\\|")
    return f"{described} For example {examples}." if examples else described


def _default(key: Field[Any]) -> str:
    if key.default is MISSING and key.default_factory is MISSING:
        return "**required**"
    default: Any = key.default if key.default_factory is MISSING else key.default_factory()
    if is_dataclass(default):
        return "its defaults"
    return f"`{json.dumps(default)}`" if default not in ("", None, (), {}) else ""


def _type_text(hint: Any) -> str:
    """Return in a person's words what a key of this type takes."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _type_text(arguments[0])
    if origin in _COMPOSED:
        return _COMPOSED[origin](arguments)
    section = hint.__name__ if isinstance(hint, type) and is_dataclass(hint) else None
    return f"[{section}](#{section.lower()})" if section else _WORDS.get(hint, "anything")


def _either(arguments: tuple[Any, ...]) -> str:
    return " or ".join(_type_text(one) for one in arguments if one is not type(None))


def _list(arguments: tuple[Any, ...]) -> str:
    if arguments[-1] is Ellipsis:
        return f"a list of {_type_text(arguments[0])}"
    return f"a list of {len(arguments)}, each {_type_text(arguments[0])}"


_COMPOSED: Mapping[Any, Callable[[tuple[Any, ...]], str]] = {
    Literal: lambda values: " or ".join(f"`{value}`" for value in values),
    Union: _either,
    UnionType: _either,
    Mapping: lambda arguments: f"a mapping of names to {_type_text(arguments[1])}",
    tuple: _list,
}
_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "`true` or `false`"}
_INTRODUCTION = """\
# The line file

One line is one folder in `lines/` with a file `defs.yaml`. This page has every key of that file; it is made from
the code that reads the file, and so is the JSON schema `lines/line.schema.json`, by which editors complete and check a
line's file: the comment in its first line names it, and `factory schema` writes it anew after an upgrade.

```yaml
# yaml-language-server: $schema=../line.schema.json
type: assets.ProductionLine

attributes:
  purpose: Will this order come back?
  owner: you@example.com
```

`factory check` reports every mistake in every line with file and line number: keys that there are not or not twice,
values of a wrong type or out of range, functions that cannot be loaded, contracts that cannot be judged. `dg check
yaml` and `dg check defs` report the same; but a file that is no YAML at all, or not UTF-8, they read before they ask
the factory, and end with a traceback. A line with a mistake stops that line alone: the others load and run.

Values may be templates, as Dagster has them: `"{{ env.OWNER }}"` is the environment's variable `OWNER`. A function or
class is written `package.module:name`."""


def sections() -> list[type]:
    """Return the dataclasses of all sections, the file's own first, each once, in the order in which they are named."""
    return list(dict.fromkeys(_sections(LineSections)))


def _sections(hint: Any) -> Iterator[type]:
    if isinstance(hint, type) and is_dataclass(hint):
        yield hint
        hints = get_type_hints(hint, include_extras=True)
        for key in key_descriptions(hint):
            yield from _sections(hints[key])
    for inner in get_args(hint):
        yield from _sections(inner)


@cache
def key_descriptions(section: type) -> dict[str, str]:
    """Return each key of a section, in its order, and the docstring below it; empty where there is none."""
    described: dict[str, str] = {}
    for base in (base for base in reversed(section.__mro__) if is_dataclass(base)):
        body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0].body  # type: ignore[attr-defined]  # a class
        for statement, below in zip(body, [*body[1:], None], strict=True):
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                described[statement.target.id] = _docstring(below) or described.get(statement.target.id, "")
    return {key.name: described[key.name] for key in fields(section)}


def _docstring(statement: ast.stmt | None) -> str:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return " ".join(str(statement.value.value).split())
    return ""
