"""What the pages show, as frozen data: the journal's entries, the quarantine, and what the judged holdout shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from factory.charts.pictures import Gallery
from factory.evaluation.evidence import Figures
from factory.line.line import Line
from factory.model.verdict import Verdict
from factory.reports.importance import Importance
from factory.reports.limits import Limit
from factory.reports.slices import Slice
from factory.tasks.holdout import ROLES
from factory.tasks.intervals import Interval

Entries = Mapping[str, Mapping[str, Any]]
"""The figures of each stage's last entry in the journal, by stage."""
Epochs = Sequence[Mapping[str, float]]


@dataclass(frozen=True, kw_only=True)
class Serving:
    """What a site serves now."""

    version: int
    digest: str
    since: str
    """ISO time in UTC."""
    as_of: str = ""
    """The day that it was judged as of."""
    figures: Figures = field(default_factory=dict)
    """What it was judged by before it was released; a newer candidate's figures are another model's."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What only the judged rows can show: intervals by role, the task's gallery, slices, importance."""

    headline: Mapping[str, Interval]
    money: Mapping[str, Interval]
    gallery: Gallery | None
    """None where the holdout is too small, or of one class."""
    slices: Sequence[Slice]
    importances: Sequence[Importance]


@dataclass(frozen=True, kw_only=True)
class SiteFacts:
    """Everything on one site's page; what a site does not have is None or empty."""

    line: Line
    site: str
    verdict: Verdict
    limits: Sequence[Limit]
    """Empty for a verdict from before checks were recorded."""
    serving: Serving | None
    held_back: str | None
    """What keeps a candidate that passed from being released."""
    rows: Mapping[str, int]
    """`raw`, `clean`, `quarantine`, `superseded`, `withdrawn`, `features`, `labelled`, the windows' by their names."""
    contract_share: float | None
    table_failures: Sequence[str]
    contract_warnings: Sequence[str]
    """A sentence for each expectation that was not met and is told alone."""
    broken_rules: Sequence[tuple[str, int]]
    """Each rule of the contract that rows in quarantine broke, and how many did, the most first."""
    why: str
    """Why the site's model was fine-tuned, or was not."""
    base_why: str
    base_epochs: Epochs
    site_epochs: Epochs
    shown: Shown
    versions: Mapping[str, str]
    registry: str
    judged_at: str
    """When the verdict was given, UTC, to the minute."""

    @property
    def figures(self) -> Figures:
        """The verdict's figures."""
        return self.verdict.figures

    @property
    def keeps_base(self) -> bool:
        """Whether the site's model is the base model unchanged."""
        return bool(self.figures.get("is_base", not self.figures.get("fine_tuned")))

    @property
    def roles(self) -> Mapping[str, str]:
        """What people call each model, the candidate first; one that is the candidate itself is named with it."""
        same = [role for role, is_it in (("base", self.keeps_base), ("baseline", self.is_baseline)) if is_it]
        others = {role: name for role, name in ROLES.items() if role not in same}
        return others | {"candidate": " = ".join(["site", *(ROLES[role] for role in same)])} if same else ROLES

    @property
    def is_baseline(self) -> bool:
        """Whether the site's model is the baseline itself, with which nothing is compared then."""
        return bool(self.figures.get("is_baseline"))

    @property
    def serves_this(self) -> bool:
        """Whether what is served is the very file that was judged."""
        return self.serving is not None and self.serving.digest == self.verdict.digest


@dataclass(frozen=True, kw_only=True)
class SiteLine:
    """One site as the line's page shows it."""

    site: str
    page: str | None
    """The page's file name beside the line's page, if there is one."""
    rows: Mapping[str, int]
    broken: Mapping[str, int]
    """The contract's broken rules and by how many rows."""
    verdict: Verdict | None
    serving: Serving | None
    importances: Mapping[str, float]
    """The most important columns and what shuffling them costs."""
    value_low: float | None
    value_high: float | None

    @property
    def serves_this(self) -> bool:
        """Whether what is served is the very file that was judged last."""
        return self.serving is not None and self.verdict is not None and self.serving.digest == self.verdict.digest


@dataclass(frozen=True, kw_only=True)
class LineFacts:
    """Everything on the line's page."""

    line: Line
    sites: Sequence[SiteLine]
    base_why: str
    base_epochs: Epochs
    versions: Mapping[str, str]
    as_of: str


def rung_of(figures: Figures) -> str:
    """Return what kind of model a verdict is about: its rung of the ladder; before there was one, how it was made."""
    return str(figures.get("rung") or ("fine-tuned" if figures.get("fine_tuned") else "base model"))
