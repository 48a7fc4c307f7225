"""The component `assets.ProductionLine`: one line's file in, its assets, jobs and checks out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import dagster as dg
from dagster._utils.schedules import is_valid_cron_string  # what the orchestrator itself would refuse it by, later

from factory.errors import LineError
from factory.line.costs import Costs
from factory.line.drift import Limits
from factory.line.file import FeaturesSection, LineFile, SourceSection, TableSection
from factory.line.gates import Gates
from factory.line.line import Features, Line, Table
from factory.line.look_back import LookBack
from factory.line.sections import RecipeSection, SplitSection, TaskSection, ValueSection
from factory.names import checked_name
from factory.tasks import Binary


def _as_read(_context: dg.ResolutionContext, section: Any) -> Any:
    """Return a section as it was read: pydantic has already made the dataclass and refused unknown keys."""
    return section


class ProductionLine(dg.Component, dg.Model, dg.Resolvable):
    """One business decision, its data, its model recipe, its gates and its money, at every site it runs."""

    purpose: str
    owner: str
    as_of: str
    source: Annotated[SourceSection, dg.Resolver(_as_read, model_field_type=SourceSection)]
    decision_table: str
    tables: Annotated[Mapping[str, TableSection], dg.Resolver(_as_read, model_field_type=Mapping[str, TableSection])]
    features: Annotated[FeaturesSection, dg.Resolver(_as_read, model_field_type=FeaturesSection)]
    task: Annotated[Any, dg.Resolver(_as_read, model_field_type=TaskSection)] = Binary()
    split: Annotated[Any, dg.Resolver(_as_read, model_field_type=SplitSection)]
    recipe: Annotated[Any, dg.Resolver(_as_read, model_field_type=RecipeSection)]
    gates: Annotated[Gates, dg.Resolver(_as_read, model_field_type=Gates)]
    drift: Annotated[Limits, dg.Resolver(_as_read, model_field_type=Limits)] = Limits()
    value: Annotated[Any, dg.Resolver(_as_read, model_field_type=ValueSection)]
    figures: Mapping[str, str] = {}
    schedule: str = ""
    costs: Annotated[Costs, dg.Resolver(_as_read, model_field_type=Costs)] = Costs()
    online_snapshot: Annotated[LookBack | None, dg.Resolver(_as_read, model_field_type=LookBack | None)] = None

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Return everything the orchestrator needs to run this line."""
        from factory.orchestration.definitions import line_definitions

        file = LineFile(Path(context.path) / "defs.yaml")
        places = {name: file.contract_place(name, section.contract) for name, section in self.tables.items()}
        return line_definitions(self.line(file), file, self.source, places)

    def line(self, file: LineFile) -> Line:
        """Return the line the file describes; raises LineError with file and line number."""
        checked_name(file.name, "line")
        tables = {name: file.table(name, section) for name, section in self.tables.items()}
        try:
            return self._line(file, tables)
        except LineError as error:
            raise LineError(f"{file.place(str(error).partition(':')[0])}: {error}") from error

    def _line(self, file: LineFile, tables: Mapping[str, Table]) -> Line:
        return Line(
            name=file.name,
            purpose=self.purpose,
            owner=self.owner,
            decision_table=file.decision_table(self.decision_table, tables),
            tables=tables,
            features=Features(
                build=file.imported(self.features.build, "features", "build"),
                columns=self.features.columns,
                key=self.features.key,
                entity=self.features.entity,
                across_sites=self.features.across_sites,
            ),
            task=self.task,
            split=self.split,
            recipe=self.recipe,
            gates=self.gates,
            drift=self.drift,
            value=self.value,
            figures={name: file.imported(dotted, "figures", name) for name, dotted in self.figures.items()},
            schedule=_checked_cron(self.schedule, file),
            costs=self.costs,
            online_snapshot=self.online_snapshot,
            as_of=file.moment(self.as_of, "as_of"),
        )


def _checked_cron(text: str, file: LineFile) -> str:
    """Return a cron line of five fields unchanged, empty for none; raises LineError."""
    if text and not (len(text.split()) == 5 and is_valid_cron_string(text)):
        raise LineError(
            f"{file.place('schedule')}: {text!r} is no cron line; write minute, hour, day of the month, month and day "
            "of the week, such as `0 4 1 */3 *`"
        )
    return text
