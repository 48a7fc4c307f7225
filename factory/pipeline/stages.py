"""The stage table: the pipeline of a line, declared once.

A row says what a stage makes and reads, which run it belongs to, which sections of the line's file and which of the
library's rooms decide what it makes, and what does it. From it come the orchestrator's assets and ops, their order,
`--from`, the fingerprints by which nothing is done twice, progress, status and the documentation. To add a stage, write
its function in a module of this room and give it a row here, in its place in the order. A row names the module, so
that the table can be read without loading what the stages need.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from factory.errors import LineError

if TYPE_CHECKING:
    from factory.line.line import Line, Table
    from factory.pipeline.line_run import LineRun
    from factory.pipeline.work import Work


@dataclass(frozen=True, kw_only=True)
class RunKind:
    """A natural cut of a line: stages that go through their sites together, on Kubernetes in one pod."""

    name: str
    of_sites: bool = True
    """Whether it goes through sites; otherwise it is about the line as a whole."""
    gpu: bool = False
    """Whether it trains or judges networks, and so is given a GPU where there is one."""


RUNS = (
    RunKind(name="references", of_sites=False),
    RunKind(name="data"),
    # Before the models: what was decided until now was decided by what serves until now.
    RunKind(name="operations"),
    RunKind(name="base_model", of_sites=False, gpu=True),
    RunKind(name="models", gpu=True),
)


class Column(NamedTuple):
    """A column of what a stage makes: its name, its type, and what it holds."""

    name: str
    type: str
    meaning: str


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One row of the table."""

    name: str
    run: str
    """Which of RUNS it belongs to; of a stage that goes through tables, the decision table's."""
    makes: Mapping[str, str]
    """What it makes, and a sentence on each; `{raw}` and `{clean}` are a table's own names, `{table}` the table."""
    reads: tuple[str, ...]
    """What it reads; `clean_*` stands for every clean table, `announced_*` for every one with announced rows."""
    kinds: frozenset[str]
    """What it is made with, as the orchestrator's UI shows it."""
    sections: tuple[str, ...] = ()
    """The sections of the line's file that decide what it makes (factory/pipeline/fingerprints.py)."""
    rooms: tuple[str, ...] = ()
    """The library's rooms and files whose code decides what it makes, beside the stage's own module."""
    module: str
    """The module of this room that does it, by its function of the same name: run, and table, in; `Work` out."""
    by_table: bool = False
    """Whether it goes through tables: the decision table in `run`, shared ones in `references`, once for the line."""
    columns: "Callable[[Line], Sequence[Column]]" = field(default=lambda _: ())
    """The columns of what it makes, where they are known beforehand."""
    is_in: "Callable[[Line], bool]" = field(default=lambda _: True)
    """Whether a line has it."""
    of_table: "Callable[[Table], bool]" = field(default=lambda _: True)
    """Of a stage that goes through tables: whether a table has it."""


_TYPING = ("line/parsing", "line/site_names.py", "storage/columns.py", "storage/raw_values.py")
_PROOF = ("features/leak_proof.py", "features/online/past.py", "features/comparison.py")
_TRAINING = (
    "training",
    "tasks",
    "features/samples.py",
    "line/split.py",
    "line/recipe.py",
    "model/candidate.py",
    "model/reference_answers.py",
)
_JUDGING = (
    "evaluation",
    "model/session.py",
    "model/payoff.py",
    "model/reference_answers.py",
    "tasks",
    "features/samples.py",
    "line/split.py",
    "line/gates.py",
)


def _feature_columns(line: "Line") -> Sequence[Column]:
    return [Column(name, "float", meaning) for name, meaning in line.features.columns.items()]


def _logged_columns(line: "Line") -> Sequence[Column]:
    from factory.monitoring.prediction_log.rows import columns as logged_columns

    return [Column(name, str(kind), meaning) for name, (kind, meaning) in logged_columns(line.task.answers).items()]


STAGES = (
    Stage(
        name="raw",
        run="data",
        makes={"{raw}": "Rows of {table} exactly as the source delivered them, each once."},
        reads=(),
        kinds=frozenset({"deltalake"}),
        module="raw",
        by_table=True,
    ),
    Stage(
        name="clean",
        run="data",
        makes={
            "{clean}": "The newest version of each row of {table} that keeps the contract, in right types and UTC.",
            "{quarantine}": "Rows of {table} that broke the contract, unchanged, each with the rules it broke.",
        },
        reads=("{raw}",),
        kinds=frozenset({"polars", "deltalake", "greatexpectations"}),
        sections=("table",),
        rooms=("data/cleaning.py", "data/contract", *_TYPING),
        module="clean",
        by_table=True,
    ),
    Stage(
        name="announced",
        run="data",
        makes={"{announced}": "Rows of {table} that are announced and have not happened, with what is known of them."},
        reads=("{clean}",),
        kinds=frozenset({"polars", "deltalake"}),
        module="announced",
        by_table=True,
        of_table=lambda table: table.announced is not None,
    ),
    Stage(
        name="features",
        run="data",
        makes={"features": "What is known at the moment of each decision, and the label once the outcome is known."},
        reads=("clean_*", "announced_*"),
        kinds=frozenset({"polars", "deltalake"}),
        sections=("features", "feature names", "announced", "label"),
        rooms=("features/announced.py", "features/declared.py", "line/announced.py", *_PROOF),
        module="features",
        columns=_feature_columns,
    ),
    Stage(
        name="online_snapshot",
        run="operations",
        makes={
            "online_snapshot": "What the gateway keeps beside the models to build features of a row that just came, "
            "checked against training."
        },
        reads=("features", "clean_*", "announced_*"),
        kinds=frozenset({"polars"}),
        module="online_snapshot",
        is_in=lambda line: line.online_snapshot is not None,
    ),
    Stage(
        name="predictions",
        run="operations",
        makes={"predictions": "What the site's release answered to each decision since it is served, and which file."},
        reads=("features", "release"),
        kinds=frozenset({"polars", "onnx", "deltalake"}),
        module="predictions",
    ),
    Stage(
        name="outcomes",
        run="operations",
        makes={"outcomes": "Predictions whose label is known by now, and what each decision was worth."},
        reads=("predictions", "features"),
        kinds=frozenset({"polars", "deltalake"}),
        module="outcomes",
    ),
    Stage(
        name="drift",
        run="operations",
        makes={"drift": "How far features, answers and their worth moved, week by week, and what is more than noise."},
        reads=("outcomes", "features"),
        kinds=frozenset({"polars", "deltalake"}),
        module="drift",
    ),
    Stage(
        name="prediction_log",
        run="operations",
        makes={
            "prediction_log": "What the gateway was asked and answered, row by row, by which file, and who was told."
        },
        reads=("release",),
        kinds=frozenset({"polars", "deltalake"}),
        module="prediction_log",
        columns=_logged_columns,
    ),
    Stage(
        name="receipts",
        run="operations",
        makes={
            "receipts": "What the business systems said of each decision they were sent: taken, or refused and why."
        },
        reads=("predictions", "prediction_log", "features"),
        kinds=frozenset({"polars", "deltalake", "sqlite"}),
        module="receipts",
        is_in=lambda line: bool(line.sinks),
    ),
    Stage(
        name="logged_outcomes",
        run="operations",
        makes={"logged_outcomes": "What really happened to what the gateway told, and what it was worth."},
        reads=("prediction_log", "features"),
        kinds=frozenset({"polars", "deltalake"}),
        module="logged_outcomes",
    ),
    Stage(
        name="base_model",
        run="base_model",
        makes={"base_model": "The rungs of all sites: one network on their pooled features, plain models beside it."},
        reads=("features",),
        kinds=frozenset({"pytorch", "scikitlearn", "mlflow"}),
        sections=("feature names", "task", "split", "outcomes", "recipe"),
        rooms=_TRAINING,
        module="base_model",
    ),
    Stage(
        name="site_model",
        run="models",
        makes={"site_model": "The rung that the site's own rows choose: a candidate, not yet trusted."},
        reads=("base_model", "features"),
        kinds=frozenset({"pytorch", "onnx", "mlflow"}),
        sections=("feature names", "task", "split", "outcomes", "recipe", "value", "costs"),
        rooms=_TRAINING,
        module="site_model",
    ),
    Stage(
        name="verdict",
        run="models",
        makes={"verdict": "Whether the candidate may serve: every finding and figure, bound to the file's digest."},
        reads=("site_model", "features"),
        kinds=frozenset({"python", "mlflow", "deltalake"}),
        sections=("feature names", "task", "split", "outcomes", "known before", "gates", "value", "figures"),
        rooms=_JUDGING,
        module="verdict",
    ),
    Stage(
        name="release",
        run="models",
        makes={"release": "What the site serves: the model whose digest has a passing verdict."},
        reads=("verdict",),
        kinds=frozenset({"mlflow", "onnx"}),
        module="release",
    ),
    Stage(
        name="report",
        run="models",
        makes={"report": "A page to look at: data, contract, training, figures, money, weak spots, verdict."},
        reads=("release", "features", "{quarantine}"),
        kinds=frozenset({"html", "onnx"}),
        module="report",
    ),
)
NAMES = tuple(stage.name for stage in STAGES)
OPERATING = tuple(stage.name for stage in STAGES if stage.run in ("data", "operations"))
"""What is done when rows are brought in and decided about, and nothing is trained or released."""
TRAINING = ("base_model", "site_model")
"""What is done when candidates are made, and none is judged."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """A stage of one line, of one of its tables where it goes through tables."""

    stage: Stage
    run: str
    makes: Mapping[str, str]
    reads: tuple[str, ...]
    table: "Table | None" = None

    @property
    def name(self) -> str:
        """What the journal, the progress and people call it: the first of what it makes."""
        return next(iter(self.makes))

    def work(self, run: "LineRun") -> "Work":
        """Return the stage bound to a run."""
        does = getattr(import_module(f"{__package__}.{self.stage.module}"), self.stage.module)
        work: Work = does(run, self.table) if self.stage.by_table else does(run)
        return work

    def code(self, run: "LineRun") -> str:
        """Return the digest of all that decides the stage beside its rows."""
        rooms = (f"pipeline/{self.stage.module}.py", *self.stage.rooms)
        return run.code.of(self.stage.sections, rooms, self.table)


def steps(line: "Line") -> tuple[Step, ...]:
    """Return a line's steps in their order."""
    return tuple(step for kind in RUNS for step in _steps_of(line, kind.name))


def _steps_of(line: "Line", run: str) -> Sequence[Step]:
    by_table = [stage for stage in STAGES if stage.by_table]
    if run == "references":
        return [
            _table_step(line, stage, table, run)
            for table in line.shared_tables
            for stage in by_table
            if stage.of_table(table)
        ]
    here = [stage for stage in STAGES if stage.run == run and stage.is_in(line) and stage.of_table(line.decisions)]
    return [
        _table_step(line, stage, line.decisions, run) if stage.by_table else _step(line, stage, run) for stage in here
    ]


def _table_step(line: "Line", stage: Stage, table: "Table", run: str) -> Step:
    names = {name: line.lake_table(name, table) for name in ("raw", "clean", "quarantine", "announced")}
    shown = {**names, "table": table.name}
    makes = {name.format(**names): text.format(**shown) for name, text in stage.makes.items()}
    if table.site_column is None:  # what broke a shared table's contract is in the lake, and no asset of its own
        makes.pop(names["quarantine"], None)
    reads = tuple(name.format(**names) for name in stage.reads)
    return Step(stage=stage, run=run, makes=makes, reads=reads, table=table)


def _step(line: "Line", stage: Stage, run: str) -> Step:
    every = {
        "clean_*": [line.lake_table("clean", table) for table in line.tables.values()],
        "announced_*": [line.lake_table("announced", table) for table in line.announced_tables],
    }
    reads = [every.get(name, [name.format(quarantine="quarantine")]) for name in stage.reads]
    return Step(stage=stage, run=run, makes=stage.makes, reads=tuple(name for some in reads for name in some))


def checked_stage(name: str) -> str:
    """Return a stage's name unchanged, empty for none; raises LineError, which lists those there are."""
    if name and name not in NAMES:
        raise LineError(f"there is no stage {name!r}; a line's stages are {', '.join(NAMES)}")
    return name


def comes_before(stage: str, other: str) -> bool:
    """Whether a stage comes before another; nothing comes before no stage (`""`)."""
    return bool(other) and NAMES.index(stage) < NAMES.index(other)
