"""Where raw rows come from: what any source must be able to say and to give.

Goes in: a table's declaration and an as-of moment. Comes out: the sites it has rows for, and those rows in batches.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Protocol

import polars as pl

from factory.line import Table


class Source(Protocol):
    """Gives a line's raw rows as they were known at a moment; it never repairs and never writes."""

    def sites(self, table: Table, until: datetime) -> list[str]:
        """Return the sorted sites that have rows with a cursor before `until`, by the names the source uses.

        A table without `site_column` has none. Whether a name is fit for use is for the caller to judge.
        """
        ...

    def read(self, table: Table, *, site: str | None, after: Any | None, until: datetime) -> Iterator[pl.DataFrame]:
        """Yield one site's rows (None: all rows) with `after` <= cursor < `until`, in the declared columns and types.

        `after` None reads from the start. `until` does not apply to a cursor that is not a time; a table without
        cursor (`""`) is given whole each time. Raises SourceError, SchemaMismatch.
        """
        ...
