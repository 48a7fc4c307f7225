"""The component `assets.ProductionLine`: one line's file in, its assets, jobs and checks out."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._utils.schedules import is_valid_cron_string  # what the orchestrator itself would refuse it by, later
from pydantic import BaseModel, GetJsonSchemaHandler, RootModel
from pydantic_core import CoreSchema

from factory.errors import LineError
from factory.line.file import LineFile
from factory.line.sections import LineSections
from factory.orchestration.dg_check import report_to_dg

FILE = "defs.yaml"


class LineAttributes(RootModel[dict[str, Any]]):
    """What a line's file says under `attributes`: its schema is the declared sections'.

    It takes any mapping, for values may still be templates; `ProductionLine.load` checks it once they are filled in.
    """

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return the schema of a line's sections, with every key described."""
        del core_schema, handler
        from factory.line.reference import attributes_schema

        report_to_dg()
        return attributes_schema()


class ProductionLine(dg.Component):
    """One business decision, its data, its model recipe, its gates and its money, at every site it runs."""

    def __init__(self, file: LineFile, sections: LineSections) -> None:
        self.file = file
        self.sections = sections

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """Return the schema of a line's file, which `dg` checks files by and shows in editors."""
        return LineAttributes

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> "ProductionLine":
        """Return a line as its file says; raises LineError with file and line number of each mistake."""
        file = LineFile(Path(context.path) / FILE)
        written = attributes.root if isinstance(attributes, LineAttributes) else file.attributes()
        filled = _filled(written, context.resolution_context.resolve_value, file)
        return cls(file=file, sections=file.sections(filled))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Return everything the orchestrator needs to run this line."""
        del context
        from factory.orchestration.definitions import line_definitions

        require_cron(self.sections.schedule, self.file)
        return line_definitions(self.file.line(self.sections), self.file, self.sections)


def _filled(written: Any, fill: Callable[[Any], Any], file: LineFile, *keys: str | int) -> Any:
    """Return what is written with its templates filled in; raises LineError at one that cannot be."""
    if isinstance(written, Mapping):
        return {key: _filled(value, fill, file, *keys, key) for key, value in written.items()}
    if isinstance(written, list):
        return [_filled(value, fill, file, *keys, place) for place, value in enumerate(written)]
    if not (isinstance(written, str) and ("{{" in written or "{%" in written)):
        return written
    try:
        return fill(written)
    except Exception as error:
        why = str(error).strip().splitlines()[-1]
        raise LineError(
            f"{file.place(*keys)}: {'.'.join(map(str, keys))}: the template {written!r} cannot be filled in: {why}"
        ) from error


def require_cron(text: str, file: LineFile) -> None:
    """Raise LineError on a schedule that is no cron line of five fields; none at all is fine."""
    if text and not (len(text.split()) == 5 and is_valid_cron_string(text)):
        raise LineError(
            f"{file.place('schedule')}: {text!r} is no cron line; write minute, hour, day of the month, month and day "
            "of the week, such as `0 4 1 */3 *`"
        )
