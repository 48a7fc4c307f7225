"""What a line's file may say: each key once, as a field of a frozen dataclass, described by the docstring below it.

To add a key, add a field with a docstring: to a section's own dataclass (such as factory/line/gates.py), or to
`LineKeys`, `TableKeys` or `FeatureKeys` of factory/line/line.py; what the file writes in other words than the line has
it is a field here. Checking, messages, JSON schema and reference page (factory/line/reference.py) follow.

Sections that come in several kinds say by their keys which kind they are read as: without that, a mistake in one kind
would be reported as a mistake in all of them.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeAlias

from pydantic import Discriminator, Tag

from factory.line.calendar import SiteThrough
from factory.line.expectation import Expectation
from factory.line.line import FeatureKeys, LineKeys, TableKeys
from factory.line.recipe import Recipe, SequenceRecipe, TableRecipe
from factory.line.split import EntitySplit, Split, TimeSplit
from factory.tasks import TASKS, Binary, Task, Value

FORBID: dict[str, Any] = {"extra": "forbid"}
"""An unknown key in a line's file is a mistake."""


def tagged_union(kinds: Iterable[type], kind_name: Callable[[Any], str]) -> Any:
    """Return the union of the kinds as a type for pydantic; `kind_name` gives the name of a section's kind."""
    return Annotated[reduce(or_, (Annotated[kind, Tag(kind.__name__)] for kind in kinds)), Discriminator(kind_name)]


def by_kind(kinds: Collection[Any]) -> Callable[[Any], str]:
    """Return a function that reads a section's `kind`; a section without one is of the first kind."""
    names = {kind.kind: kind.__name__ for kind in kinds}

    def kind_name(section: Any) -> str:
        said = section if isinstance(section, dict) else vars(section) if type(section) in kinds else {}
        kind = str(said.get("kind", next(iter(names))))
        return str(names.get(kind, kind))

    return kind_name


def by_keys(kinds: Iterable[Any]) -> Callable[[Any], str]:
    """Return a function that gives the kind which knows most of the section's keys, of equal ones the first."""
    names: dict[str, set[str]] = {kind.__name__: {key.name for key in fields(kind)} for kind in kinds}

    def kind_name(section: Any) -> str:
        if type(section).__name__ in names:
            return type(section).__name__
        said = set(section) if isinstance(section, dict) else set()
        return max(names, key=lambda name: len(names[name] & said))

    return kind_name


def kind_of_split(section: Any) -> str:
    """Return which kind of split a section is: by whole things where it has a share of them, or a column marks them."""
    if isinstance(section, _SPLITS):
        return type(section).__name__
    said = section if isinstance(section, dict) else {}
    shares = {"validation_share", "holdout_share", "last_only"} & set(said)
    holdout = said.get("holdout")
    marked = isinstance(holdout, str) and holdout.isidentifier() and "validation" not in said
    return (EntitySplit if shares or marked else TimeSplit).__name__


def column_or_through(site: Any) -> str:
    """Return in which of the two ways a table's site is said."""
    return "site_column" if isinstance(site, str) else SiteThrough.__name__


def suite_or_file(contract: Any) -> str:
    """Return which of the two ways a contract is written in."""
    return "file" if isinstance(contract, str) else "suite"


_RECIPES, _SPLITS = (TableRecipe, SequenceRecipe), (TimeSplit, EntitySplit)
_TASKS = tuple(TASKS.values())
_VALUES = tuple(task.value for task in _TASKS)
KINDS: Mapping[str, type] = {kind.__name__: kind for kind in (*_TASKS, *_RECIPES, *_SPLITS, *_VALUES, SiteThrough)}
"""The kinds of sections that come in several, by the name that stands for each in an error's place."""

UNCHANGED = "factory.line.line:unchanged"
"""The repair of a table that needs none."""

if TYPE_CHECKING:
    TaskSection: TypeAlias = Task
    RecipeSection: TypeAlias = Recipe
    SplitSection: TypeAlias = Split
    ValueSection: TypeAlias = Value
else:
    TaskSection = tagged_union(_TASKS, by_kind(_TASKS))
    RecipeSection = tagged_union(_RECIPES, by_kind(_RECIPES))
    SplitSection = tagged_union(_SPLITS, kind_of_split)
    ValueSection = tagged_union(_VALUES, by_keys(_VALUES))
ContractSection = Annotated[
    Annotated[tuple[Expectation, ...], Tag("suite")] | Annotated[str, Tag("file")], Discriminator(suite_or_file)
]

SiteSection = Annotated[
    Annotated[str, Tag("site_column")] | Annotated[SiteThrough, Tag(SiteThrough.__name__)],
    Discriminator(column_or_through),
]


@dataclass(frozen=True, kw_only=True)
class SourceSection:
    """Where raw rows come from: a class that keeps factory.connectors.source.Source, and its arguments."""

    __pydantic_config__: ClassVar[dict[str, Any]] = FORBID
    use: str = field(metadata={"examples": ["factory.connectors.tables:TableSource"]})
    """The class, written as package.module:name."""
    data_folder: str = ".factory/data"
    """For a source that reads files: the folder they lie in, from the project's; the environment may name another."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """What the class is made with, by name."""


@dataclass(frozen=True, kw_only=True)
class TableSection(TableKeys):
    """One raw table as its source delivers it, its contract, and its repair."""

    __pydantic_config__: ClassVar[dict[str, Any]] = FORBID
    site: SiteSection | None = None
    """The column that names the site, or where another table does; none for a table that all sites share."""
    repair: str = field(default=UNCHANGED, metadata={"examples": ["lines.orders.clean:repair_orders"]})
    """The function that repairs rows which keep the contract, written as package.module:name; without it they stay as
    they are."""
    contract: ContractSection = ()
    """Expectations, or the file in the line's folder that has them: a Great Expectations suite, YAML or JSON."""
    contract_parameters: Mapping[str, Any] = field(default_factory=dict)
    """The values of the parameters that the contract's expectations ask for: `{"$PARAMETER": "low"}` is given as
    `low`."""


@dataclass(frozen=True, kw_only=True)
class FeaturesSection(FeatureKeys):
    """What the network sees: the function that builds it, and each column with a sentence about its content."""

    __pydantic_config__: ClassVar[dict[str, Any]] = FORBID
    build: str = field(default="", metadata={"examples": ["lines.orders.features:build"]})
    """The function that builds the features of every row from the clean tables, written as package.module:name. Where
    there are windows it is given them as columns of the decision table, and may be left out."""


@dataclass(frozen=True, kw_only=True)
class LineSections(LineKeys):
    """One business decision, its data, its model recipe, its gates and its money, at every site it runs."""

    __pydantic_config__: ClassVar[dict[str, Any]] = FORBID
    as_of: str = field(metadata={"examples": ["2026-01-01", "today"]})
    """The line looks at the world as it was known before this day (UTC), YYYY-MM-DD; over a live source: `today`."""
    source: SourceSection
    """Where raw rows come from."""
    tables: Mapping[str, TableSection]
    """The raw tables by name."""
    features: FeaturesSection
    """What is known at the moment of the decision, and nothing later."""
    task: TaskSection = field(default_factory=Binary)
    """What kind of answer the line gives; the first kind when left out."""
    split: SplitSection
    """How rows are divided for training and judging: by time, or by whole things."""
    recipe: RecipeSection
    """The network and its training, for tables or for sequences; what is not said is the recipe's default."""
    value: ValueSection
    """What one decision is worth, in EUR; the task decides which amounts there are."""
    figures: Mapping[str, str] = field(default_factory=dict)
    """The line's own figures of merit beside the task's: name → function of labels and answers, package.module:name."""
