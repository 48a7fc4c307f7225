"""Sections of a line's file that come in several kinds: the keys of a section decide which kind it is read as.

Without that, a mistake in one kind would be reported as a mistake in all of them.
"""

from collections.abc import Callable, Iterable
from dataclasses import fields
from functools import reduce
from operator import or_
from typing import Annotated, Any

from pydantic import Discriminator, Tag

from factory.line.recipe import SequenceRecipe, TableRecipe
from factory.line.split import EntitySplit, TimeSplit
from factory.tasks import TASKS


def tagged_union(kinds: Iterable[type], kind_name: Callable[[Any], str]) -> Any:
    """Return the union of the kinds as a type for pydantic; `kind_name` gives the name of a section's kind."""
    return Annotated[reduce(or_, (Annotated[kind, Tag(kind.__name__)] for kind in kinds)), Discriminator(kind_name)]


def by_kind(kinds: Iterable[Any]) -> Callable[[Any], str]:
    """Return a function that reads a section's `kind`; a section without one is of the first kind."""
    names = {kind.kind: kind.__name__ for kind in kinds}

    def kind_name(section: Any) -> str:
        kind = section.get("kind", next(iter(names))) if isinstance(section, dict) else section.kind
        return str(names.get(kind, kind))

    return kind_name


def by_keys(kinds: Iterable[Any]) -> Callable[[Any], str]:
    """Return a function that gives the kind which knows most of the section's keys, of equal ones the first."""
    names: dict[str, set[str]] = {kind.__name__: {field.name for field in fields(kind)} for kind in kinds}

    def kind_name(section: Any) -> str:
        if not isinstance(section, dict):
            return str(type(section).__name__)
        return max(names, key=lambda name: len(names[name] & set(section)))

    return kind_name


_TASKS, _RECIPES, _SPLITS = tuple(TASKS.values()), (TableRecipe, SequenceRecipe), (TimeSplit, EntitySplit)
_VALUES = tuple(task.value for task in _TASKS)

TaskSection = tagged_union(_TASKS, by_kind(_TASKS))
RecipeSection = tagged_union(_RECIPES, by_kind(_RECIPES))
SplitSection = tagged_union(_SPLITS, by_keys(_SPLITS))
ValueSection = tagged_union(_VALUES, by_keys(_VALUES))
