"""A Great Expectations suite as people have it, written by 0.18 or by 1.x, in; its expectations in one form out.

Parameters are filled in from the table's `contract_parameters`, or from those that the suite itself brings. What says
nothing about rows, such as an id or what Data Docs once rendered, is passed over by name.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cached_property
from typing import Any, get_args

from factory.errors import LineError
from factory.line.expectation import Expectation, Severity
from factory.line.yaml_file import YamlFile

PARAMETER = "$PARAMETER"
"""The key of a mapping that stands for a value given elsewhere."""
READ = ("type", "expectation_type", "kwargs", "meta", "notes", "severity")
PASSED_OVER = (
    "id",
    "ge_cloud_id",
    "rendered_content",
    "description",
    "windows",
    "expectation_context",
    "success_on_last_run",
    "library_metadata",
)
"""Keys of an expectation that Great Expectations writes, and that say nothing about rows."""
_SEVERITIES = get_args(Severity)


class SuiteFile(YamlFile):
    """One suite in a line's folder, JSON or YAML."""

    def expectations(self) -> tuple[Expectation, ...]:
        """Return the expectations with the suite's own parameters; raises LineError with a sentence on each mistake."""
        content = self.content()
        entries = content.get("expectations") if isinstance(content, Mapping) else None
        if not isinstance(entries, list):
            raise LineError(
                f"{self.place('expectations')}: a suite needs a list `expectations`, each with type and kwargs"
            )
        if mistakes := [mistake for place, entry in enumerate(entries) for mistake in self._mistakes_of(place, entry)]:
            raise LineError("\n".join(mistakes))
        return tuple(_expectation(entry) for entry in entries)

    def parameters(self) -> Mapping[str, Any]:
        """Return the values of parameters that the suite itself brings."""
        content = self.content()
        return {**(content.get("evaluation_parameters") or {}), **(content.get("suite_parameters") or {})}

    def content(self) -> Any:
        """Return what the file says; JSON by its own rules, by which 1e-5 is a number."""
        said = super().content()
        try:
            return json.loads(self.text) if self._is_json else said
        except ValueError as error:
            raise LineError(f"{self.path}: this is no JSON: {error}") from error

    @cached_property
    def text(self) -> str:
        """What the file says; of JSON with blanks for tabs, which mean the same and are never in a text."""
        return super().text.replace("\t", " ") if self._is_json else super().text

    @property
    def _is_json(self) -> bool:
        return self.path.suffix.lower() == ".json"

    def _mistakes_of(self, number: int, entry: object) -> Iterator[str]:
        if not isinstance(entry, Mapping):
            at = self.place("expectations", number)
            yield f"{at}: an expectation is a mapping with type and kwargs, not {entry!r}"
            return
        for key in entry:
            if key not in (*READ, *PASSED_OVER):
                near = get_close_matches(str(key), (*READ, *PASSED_OVER), 1)
                hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join((*READ, *PASSED_OVER))}"
                yield f"{self.place('expectations', number, key)}: {key}: an expectation has no such key; {hint}"
        named = {str(entry[key]) for key in READ[:2] if entry.get(key) is not None}
        if len(named) != 1:
            types = " and ".join(sorted(named)) or "no type"
            yield f"{self.place('expectations', number)}: an expectation has one type, this one has {types}"
        for key in ("kwargs", "meta"):
            if not isinstance(entry.get(key) or {}, Mapping):
                at = self.place("expectations", number, key)
                yield f"{at}: {key} must be a mapping, not {entry[key]!r}"
        if (entry.get("severity") or "critical") not in _SEVERITIES:
            at = self.place("expectations", number, "severity")
            yield f"{at}: severity must be one of {', '.join(_SEVERITIES)}, not {entry['severity']!r}"


def _expectation(entry: Mapping[str, Any]) -> Expectation:
    meta = dict(entry.get("meta") or {})
    if entry.get("notes"):
        meta.setdefault("notes", entry["notes"])
    return Expectation(
        type=str(entry.get("type") or entry.get("expectation_type")),
        kwargs=dict(entry.get("kwargs") or {}),
        meta=meta,
        severity=entry.get("severity") or "critical",
    )


def with_parameters(
    expectations: Sequence[Expectation], parameters: Mapping[str, Any]
) -> tuple[tuple[Expectation, ...], set[str]]:
    """Return the expectations with the parameters' values, and the names of all parameters that they ask for.

    One that has no value stays as it is: the contract's compiler refuses it together with all else that is wrong.
    """
    asked: set[str] = set()

    def filled(value: Any) -> Any:
        if isinstance(value, Mapping) and PARAMETER in value:
            name = str(value[PARAMETER])
            asked.add(name)
            return parameters.get(name, value.get(f"{PARAMETER}.{name}", value))
        if isinstance(value, Mapping):
            return {key: filled(inner) for key, inner in value.items()}
        return [filled(inner) for inner in value] if isinstance(value, list | tuple) else value

    complete = tuple(
        Expectation(type=one.type, kwargs=filled(one.kwargs), meta=one.meta, severity=one.severity)
        for one in expectations
    )
    return complete, asked


def missing_parameters(value: Any) -> Iterator[str]:
    """Yield a sentence on each parameter in an expectation's kwargs that has no value."""
    if isinstance(value, Mapping) and PARAMETER in value:
        yield _needed(str(value[PARAMETER]))
    elif isinstance(value, Mapping | list | tuple):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from missing_parameters(inner)


def _needed(name: str) -> str:
    if re.fullmatch(r"[^\W\d]\w*", name):
        return (
            f"needs the parameter {name!r}; write `contract_parameters: {{{name}: …}}` at its table in the line's file"
        )
    what = "the result of another validation" if name.startswith("urn:") else "an expression"
    return f"the parameter {name!r} is {what}, which is not computed here; write its value in its place"
