"""A YAML file that a person wrote in, its plain content out; whatever is wrong with it is told with file and line."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from factory.errors import LineError

_BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # where the C loader was built, it is ten times as fast
_TIMESTAMP = "tag:yaml.org,2002:timestamp"
_PLAIN = {f"tag:yaml.org,2002:{kind}" for kind in ("map", "seq", "str", "int", "float", "bool", "null")}
_TEXT, _MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"


class _Loader(_BASE):  # type: ignore[misc]  # the class was chosen above
    """A safe loader for which dates are text, as they are for the orchestrator's own."""

    yaml_implicit_resolvers = {  # noqa: RUF012  PyYAML declares it so
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
        for first, resolvers in _BASE.yaml_implicit_resolvers.items()
    }


class YamlFile:
    """One file, read once; it knows on which line of it each setting is."""

    prefix: tuple[str, ...] = ()
    """The keys above the settings that `place` is asked about."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def place(self, *keys: str | int) -> str:
        """Return `<file>:<line number>` of a setting, or of the nearest one above it; the file where it has no line.

        A key that is no key of the file, such as the name of a section's kind, is passed over.
        """
        try:
            written = node = self.tree
        except LineError:
            return str(self.path)
        for key in (*self.prefix, *keys):
            if (child := _child(node, key)) is not None:
                written, node = child
        return self._at(written)

    def content(self) -> Any:
        """Return what the file says, as dicts, lists and scalars; raises LineError naming each mistake of its form."""
        if mistakes := list(self._mistakes(self.tree, set())):
            raise LineError("\n".join(mistakes))
        return yaml.constructor.SafeConstructor().construct_document(self.tree)

    @cached_property
    def tree(self) -> Any:
        """The file as nodes with places; raises LineError where it is not one YAML document in UTF-8."""
        try:
            documents = list(yaml.compose_all(self.text, Loader=_Loader))
        except yaml.YAMLError as error:
            raise LineError(self._unreadable(error)) from error
        except RecursionError as error:
            raise LineError(f"{self.path}: this is no YAML: it is nested too deeply") from error
        if not documents:
            raise LineError(f"{self.path}: the file is empty")
        if len(documents) > 1:
            raise LineError(f"{self._at(documents[1])}: a second document begins here; the file must be one")
        return documents[0]

    @cached_property
    def text(self) -> str:
        """What the file says; raises LineError where it cannot be read, or is not UTF-8."""
        try:
            content = self.path.read_bytes()
            return content.decode("utf-8-sig")
        except OSError as error:
            raise LineError(f"{self.path}: cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise LineError(
                f"{self.path}:{line}: the byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8"
            ) from error

    def _unreadable(self, error: yaml.YAMLError) -> str:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None) or str(error)
        if mark is None:
            return f"{self.path}: this is no YAML: {problem}"
        written = self.text.splitlines()[mark.line :][:1]
        hint = "; indent with spaces, not with tabs" if written and written[0][: mark.column + 1].endswith("\t") else ""
        return f"{self.path}:{mark.line + 1}: this is no YAML: {problem}{hint}"

    def _at(self, node: Any) -> str:
        return f"{self.path}:{node.start_mark.line + 1}"

    def _mistakes(self, node: Any, seen: set[int]) -> Iterator[str]:
        """Yield a sentence on each key that is there twice or is no text, and on each value of no plain type."""
        if id(node) in seen:  # an alias of what was looked at
            return
        seen.add(id(node))
        if node.tag not in _PLAIN:
            yield f"{self._at(node)}: {node.tag.rpartition(':')[2]!r} is no type a setting can have"
        if isinstance(node, yaml.MappingNode):
            yield from self._wrong_keys(node)
        children = node.value if isinstance(node, yaml.CollectionNode) else []
        for child in children:
            yield from self._mistakes(child[1] if isinstance(child, tuple) else child, seen)

    def _wrong_keys(self, node: yaml.MappingNode) -> Iterator[str]:
        first: dict[str, int] = {}
        for key, _ in node.value:
            if key.tag not in (_TEXT, _MERGE):
                yield f"{self._at(key)}: a key must be text; write it in quotes"
            elif key.value in first:
                yield f"{self._at(key)}: the key {key.value!r} is here twice, first on line {first[key.value]}"
            else:
                first[key.value] = key.start_mark.line + 1


def _child(node: Any, key: str | int) -> tuple[Any, Any] | None:
    """Return where the file writes a key or an item, and what it holds; None if it is not there."""
    if isinstance(node, yaml.MappingNode):
        return next(((name, value) for name, value in node.value if name.value == key), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        return node.value[key], node.value[key]
    return None
