"""Sections of a line's file that come in several kinds: each is read as the kind that its keys say it is.

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


def one_of(kinds: Iterable[type], said: Callable[[Any], str]) -> Any:
    """Return the type of a section that is one of the kinds: the one whose name `said` gives of what is written."""
    return Annotated[reduce(or_, (Annotated[kind, Tag(kind.__name__)] for kind in kinds)), Discriminator(said)]


def by_kind(kinds: Iterable[Any]) -> Callable[[Any], str]:
    """Return a function that reads a section's `kind`, the first of the kinds where it says none."""
    names = {kind.kind: kind.__name__ for kind in kinds}

    def said(section: Any) -> str:
        kind = section.get("kind", next(iter(names))) if isinstance(section, dict) else section.kind
        return str(names.get(kind, kind))

    return said


def by_keys(kinds: Iterable[Any]) -> Callable[[Any], str]:
    """Return a function that gives the kind which has most of the section's keys, the first of several."""
    names: dict[str, set[str]] = {kind.__name__: {field.name for field in fields(kind)} for kind in kinds}

    def said(section: Any) -> str:
        if not isinstance(section, dict):
            return str(type(section).__name__)
        return max(names, key=lambda name: len(names[name] & set(section)))

    return said


_TASKS, _RECIPES, _SPLITS = tuple(TASKS.values()), (TableRecipe, SequenceRecipe), (TimeSplit, EntitySplit)
_VALUES = tuple(task.value for task in _TASKS)

TaskSection = one_of(_TASKS, by_kind(_TASKS))
RecipeSection = one_of(_RECIPES, by_kind(_RECIPES))
SplitSection = one_of(_SPLITS, by_keys(_SPLITS))
ValueSection = one_of(_VALUES, by_keys(_VALUES))
