"""The source of the line `turbofan_rul`: NASA's C-MAPSS text files, `.txt` or `.txt.gz`, a site for each fleet.

Goes in: `train_`, `test_` and `RUL_<site>.txt` in a folder. Comes out: one row an engine and cycle, with the cycles
that were truly left after it. Training engines run until they fail; test engines stop before, and the RUL file says
how many cycles each still had.
"""

import zlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from factory.connectors import download as fetching
from factory.connectors.download import Archive, Published
from factory.errors import SourceError
from factory.line.line import Table
from factory.names import checked_name

LINE = "turbofan_rul"
TABLE = "cycles"
READINGS = (*(f"setting_{n}" for n in (1, 2, 3)), *(f"sensor_{n}" for n in range(1, 22)))
ARCHIVE = Archive(
    address="https://phm-datasets.s3.amazonaws.com/NASA/6.+Turbofan+Engine+Degradation+Simulation+Data+Set.zip",
    digest="c9c5dec12a945a82e8bb4446589d7fb3cc057b5e5d81fa1a12e25ee9912ad3b2",
    page="https://www.nasa.gov/intelligent-systems-division/discovery-and-systems-health/pcoe/pcoe-data-set-repository/",
    within="CMAPSSData.zip",
    at_most_bytes=100_000_000,
)


class CmapssFiles:
    """The fleets named in `sites`, read from `<data_folder>/<folder>`; keeps factory.connectors.source.Source.

    The one table `cycles` has the columns `fleet` (the site), `engine` (`train-001`, `test-001`: unique in its fleet),
    `is_test`, `cycle`, `setting_1..3`, `sensor_1..21` and `remaining`. It has no time, so `until` leaves nothing out.
    """

    def __init__(self, data_folder: Path, sites: Sequence[str], folder: str = "cmapss") -> None:
        self.folder = data_folder / folder
        self.named = sorted(checked_name(site) for site in sites)

    def sites(self, table: Table, until: datetime) -> list[str]:  # noqa: ARG002  nothing here has a time
        """Return the fleets; raises SourceError if no file of any of them is there."""
        _require_table(table)
        if not any(fetching.present(self.folder, name) for site in self.named for name in _files(site)):
            raise SourceError(f"{self.folder} has no file of {', '.join(self.named)}; {_HOW}")
        return self.named

    def read(self, table: Table, *, site: str | None, after: Any | None, until: datetime) -> Iterator[pl.DataFrame]:  # noqa: ARG002
        """Yield a fleet's cycles, first those of its training engines, then those of its test engines.

        One file is in memory at a time. Raises SourceError, which names the file and the line in it.
        """
        _require_table(table)
        for one in self.named if site is None else [site] if site in self.named else []:
            train, test, ends = (self._place(name) for name in _files(one))
            yield _training(train, one)
            yield _testing(test, ends, one)

    def lacking(self) -> list[str]:
        """Return a sentence on each file that is missing, and on each that is not as it was published."""
        missing = [self.folder / name for site in self.named for name in _files(site) if not self._present(name)]
        other = [fault for fault in fetching.lacking(self.published()) if not fault.endswith("is missing")]
        *most, last = [*(f"{place} is missing" for place in missing), *other] or [""]
        return [*most, f"{last}; {_HOW}"] if last else []

    def published(self) -> Published:
        """Return the files of the fleets that NASA published; a fleet of one's own is not among them."""
        known = fetching.read_digests(Path(__file__).with_name("SHA256SUMS"))
        files = {name: known[name] for site in self.named for name in _files(site) if name in known}
        return Published(line=LINE, folder=self.folder, files=files, archive=ARCHIVE)

    def _present(self, name: str) -> Path | None:
        return fetching.present(self.folder, name)

    def _place(self, name: str) -> Path:
        place = self._present(name)
        if place is None:
            raise SourceError(f"{self.folder / name} is missing, and so is {name}.gz; {_HOW}")
        return place


_LAST = pl.col("cycle").max().over("unit")
_HOW = f"run `factory fetch {LINE}`, or set FACTORY_DATA to the folder that has it"


def _files(site: str) -> tuple[str, str, str]:
    return f"train_{site}.txt", f"test_{site}.txt", f"RUL_{site}.txt"


def _require_table(table: Table) -> None:
    if table.name != TABLE:
        raise SourceError(f"table {table.name}: the source has no such table; it has {TABLE}")


def _training(place: Path, site: str) -> pl.DataFrame:
    """Return the training engines' cycles: each engine runs until it fails."""
    rows = _readings(place)
    return _told(rows.with_columns(remaining=_LAST - pl.col("cycle")), site, "train")


def _testing(place: Path, ends: Path, site: str) -> pl.DataFrame:
    """Return the test engines' cycles; line n of the file `ends` says how many more engine n had after its last."""
    rows, left = _readings(place), _numbers(ends, ("left",), whole=("left",))
    engines = rows["unit"].n_unique()
    if len(left) != engines:
        raise SourceError(
            f"{ends} ends at line {len(left)} and should have {engines}, one for each engine of {place.name}; {_HOW}"
        )
    rows = rows.join(left.select("left", unit="line"), on="unit", how="left", maintain_order="left")
    return _told(rows.with_columns(remaining=pl.col("left") + _LAST - pl.col("cycle")), site, "test")


def _readings(place: Path) -> pl.DataFrame:
    rows = _numbers(place, ("unit", "cycle", *READINGS), whole=("unit", "cycle"))
    _require_every_cycle(rows, place)
    return rows


def _told(rows: pl.DataFrame, site: str, kind: str) -> pl.DataFrame:
    """Return the table's columns, in their order."""
    return rows.select(
        pl.lit(site).alias("fleet"),
        pl.format(f"{kind}-{{}}", pl.col("unit").cast(pl.String).str.zfill(3)).alias("engine"),
        pl.lit(kind == "test").alias("is_test"),
        "cycle",
        *READINGS,
        "remaining",
    )


def _require_every_cycle(rows: pl.DataFrame, place: Path) -> None:
    """Refuse a file that lacks rows: engines are numbered from 1, and each one's cycles too."""
    unit, cycle = pl.col("unit"), pl.col("cycle")
    same = unit == unit.shift(fill_value=0)
    next_one = (unit == unit.shift(fill_value=0) + 1) & (cycle == 1)
    wrong = rows.filter(~((same & (cycle == cycle.shift(fill_value=0) + 1)) | next_one))
    if len(wrong):
        line, engine, found = wrong.select("line", "unit", "cycle").row(0)
        raise SourceError(
            f"{place}, line {line}: engine {engine}, cycle {found} does not follow the line before; "
            f"rows are missing or out of order; {_HOW}"
        )


def _numbers(place: Path, columns: Sequence[str], *, whole: Sequence[str]) -> pl.DataFrame:
    """Return a text file's numbers, `whole` ones as Int64 and the others as Float64, and their `line` in the file."""
    lines = pl.DataFrame({"text": _lines(place)}).with_row_index("line", 1)
    fields = lines.with_columns(fields=pl.col("text").str.extract_all(r"\S+"), line=pl.col("line").cast(pl.Int64))
    short = fields.filter(pl.col("fields").list.len() != len(columns))
    if len(short):
        line, found = short.select("line", pl.col("fields").list.len()).row(0)
        raise SourceError(f"{place}, line {line}: {found} numbers, should be {len(columns)}; {_HOW}")
    kinds = {name: pl.Int64 if name in whole else pl.Float64 for name in columns}
    rows = fields.select(
        "line",
        "text",
        *(
            pl.col("fields").list.get(n).cast(kind, strict=False).alias(name)
            for n, (name, kind) in enumerate(kinds.items())
        ),
    )
    wrong = rows.filter(pl.any_horizontal(pl.col(columns).is_null()))
    if len(wrong):
        raise SourceError(
            f"{place}, line {wrong['line'][0]}: {wrong['text'][0][:80]!r} is not {len(columns)} numbers; {_HOW}"
        )
    return rows.drop("text")


def _lines(place: Path) -> list[str]:
    """Return a file's lines; raises SourceError if it was cut off: packed or not, the last line must be ended."""
    content, fault = _content(place)
    *lines, rest = content.decode("latin-1").split("\n")
    if fault or rest or not lines:
        raise SourceError(f"{place}, line {len(lines) + 1}: the file was cut off here{fault}; {_HOW}")
    return lines


def _content(place: Path) -> tuple[bytes, str]:
    """Return what can be read of a file, unpacked, and what is wrong with the rest."""
    pieces: list[bytes] = []
    try:
        with fetching.unpacked(place) as file:
            while piece := file.read(1 << 20):
                pieces.append(piece)
    except (OSError, EOFError, zlib.error) as error:
        return b"".join(pieces), f" ({error})"
    return b"".join(pieces), ""
