"""A sample of whole rows, drawn evenly from a table of unknown length, the same one whenever the table is the same."""

import io

import polars as pl

_CELLS = 5_000_000
_ROWS = 40_000
_PLACE = "_place"


class RowSample:
    """Keeps the rows whose place has a small hash; the limit is halved whenever there are twice too many."""

    def __init__(self, columns: int) -> None:
        self.rows = max(500, min(_ROWS, _CELLS // max(columns, 1)))
        self._parts: list[pl.DataFrame] = []
        self._limit = (1 << 64) - 1
        self._seen = 0

    def see(self, batch: pl.DataFrame) -> None:
        """Take what falls into the sample from a batch."""
        place = pl.int_range(self._seen, self._seen + len(batch), dtype=pl.Int64, eager=True).hash(11, 12, 13, 14)
        self._seen += len(batch)
        self._parts.append(_alone(batch.with_columns(place.alias(_PLACE)).filter(pl.col(_PLACE) <= self._limit)))
        while sum(map(len, self._parts)) > 2 * self.rows:
            self._limit //= 2
            self._parts = [_alone(pl.concat(self._parts).filter(pl.col(_PLACE) <= self._limit))]

    def taken(self) -> pl.DataFrame:
        """Return the sampled rows in the table's order."""
        return pl.concat(self._parts).drop(_PLACE) if self._parts else pl.DataFrame()


def _alone(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows in memory of their own: a filtered text otherwise keeps all texts of its batch in memory."""
    packed = io.BytesIO()
    rows.write_ipc(packed, compat_level=pl.CompatLevel.oldest())
    packed.seek(0)
    return pl.read_ipc(packed, memory_map=False)
