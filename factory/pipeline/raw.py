"""The stage `raw`: new rows of a source come into the lake, exactly as they came and each once."""

from collections.abc import Sequence

from factory.compute.isolation import Isolated
from factory.data.ingest import ingest
from factory.line.line import Table
from factory.pipeline.line_run import LineRun
from factory.pipeline.work import CHANGED, ROW_COUNT, Figures, Work


def raw(run: LineRun, table: Table) -> Work:
    """Return what brings a table's new rows in; a run that redoes the stage reads the source from its first row."""

    def load(sites: Sequence[str]) -> Isolated[Figures]:
        loaded = ingest(run.lake, run.source, table, sites, run.until, from_start=bool(run.redo_from))
        done = {
            site: {ROW_COUNT: rows.rows, "new_rows": rows.new_rows, CHANGED: rows.new_rows > 0}
            for site, rows in loaded.done.items()
        }
        return Isolated(done=done, failed=loaded.failed)

    return Work(do=load)
