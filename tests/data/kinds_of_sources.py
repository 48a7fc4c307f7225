"""A table of texts written as each kind of source that people have, and damaged as each is damaged."""

import csv
import io
import json
import random
import shutil
import sqlite3
from contextlib import closing
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import polars as pl
import xlsxwriter


def moment(cell):
    """Return what a cell says as a moment; None where it says none."""
    try:
        return datetime.strptime(cell, "%Y-%m-%d %H:%M")
    except (TypeError, ValueError):
        return None


def number(cell):
    """Return what a cell says as a number, the way programs write one; None where it says none."""
    try:
        whole = cell.removeprefix("-").isdigit()
        return float(cell) if not whole or (str(int(cell)) == cell and abs(int(cell)) < 1 << 53) else None
    except (AttributeError, ValueError):
        return None


class Source:
    """A place that a table is written to, again and again, each time as another hand would write it."""

    at = ""
    exact = True
    """Whether a raw value is the text of the cell, and not what a typed source made of it."""
    said = {}  # noqa: RUF012  what the source's arguments say of it
    tells_junk = False
    """Whether the file may have a line that is no record."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def write(self, columns, rows, chance):
        """Write rows, whose cells are texts or None, each as a dict; `chance` decides what is free."""
        raise NotImplementedError

    def damage(self, chance):
        """Damage the place as a whole."""
        raise NotImplementedError


class Files(Source):
    """A folder of files, each with its columns in its own order."""

    at, may_be_empty = "rows", True
    """Whether a file may have no record."""

    def write(self, columns, rows, chance):
        """Write as many files as chance has it."""
        shutil.rmtree(self.folder / self.at, ignore_errors=True)
        (self.folder / self.at).mkdir()
        parts = chance.randint(1, 3) if self.may_be_empty or not any("junk" in row for row in rows) else 1
        bounds = [0, *sorted(chance.randint(0, len(rows)) for _ in range(parts - 1)), len(rows)]
        for part, (start, end) in enumerate(pairwise(bounds)):
            order = chance.sample(columns, len(columns))
            if start < end or self.may_be_empty:
                self.write_file(self.folder / self.at / f"{part}{self.suffix}", order, rows[start:end], chance)

    def damage(self, chance):
        """Damage one of the files."""
        file = chance.choice(sorted((self.folder / self.at).iterdir()))
        file.write_bytes(self.damaged(file.read_bytes(), chance))


class Csv(Files):
    """CSV, with quotes where they are needed."""

    suffix, tells_junk = ".csv", True

    def write_file(self, path, columns, rows, chance):
        """Write one file."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator=chance.choice(["\n", "\r\n"]))
        writer.writerow(columns)
        for row in rows:
            if "junk" in row:
                text.write(f"{row['junk']}\n")
            else:
                writer.writerow([row[name] for name in columns])
        path.write_bytes(text.getvalue().encode())

    def damaged(self, content, chance):
        """Leave a quote open, put a zero byte or a byte of another encoding in, or begin a record and end."""
        return content + chance.choice([b'9,"open\n', b"9,\0\n", b"9,\xff\n", b"9,cut"])


class JsonLines(Files):
    """JSON, an object a line."""

    suffix, tells_junk, may_be_empty = ".jsonl", True, False

    def write_file(self, path, columns, rows, chance):
        """Write one file: numbers as numbers or as texts."""
        lines = []
        for row in rows:
            if "junk" in row:
                lines.append(row["junk"])
                continue
            told = {name: row[name] for name in columns}
            line = json.dumps(told, ensure_ascii=chance.random() < 0.5)
            if number(told.get("kg")) is not None and chance.random() < 0.5:
                line = line.replace(json.dumps(told["kg"]), told["kg"], 1) if f'"kg": "{told["kg"]}"' in line else line
            lines.append(line)
        path.write_text("".join(f"{line}\n" for line in lines))

    def damaged(self, content, chance):
        """Cut it within the last line, or put a zero byte in."""
        return content[:-3] if chance.random() < 0.5 else content + b'{"order": "\0"}\n'


class Parquet(Files):
    """Parquet, each file in the types that its own values allow."""

    suffix, exact = ".parquet", False

    def write_file(self, path, columns, rows, chance):
        """Write one file."""
        typed_frame(columns, rows, chance).write_parquet(path)

    def damaged(self, content, chance):
        """Cut it."""
        return content[: chance.randint(1, len(content) - 1)]


class Delta(Source):
    """A Delta table that is written over."""

    at, exact = "table", False

    def write(self, columns, rows, chance):
        """Write the table's next version."""
        frame = typed_frame(columns, rows, chance)
        frame.write_delta(self.folder / self.at, mode="overwrite", delta_write_options={"schema_mode": "overwrite"})

    def damage(self, chance):
        """Take a file away that the table names."""
        table = pl.scan_delta(self.folder / self.at).collect_schema()
        assert table
        newest = max((self.folder / self.at).glob("*.parquet"), key=lambda file: file.stat().st_mtime_ns)
        newest.unlink()


def typed_frame(columns, rows, chance):
    """Return rows as a frame whose columns are numbers and moments where all their values are."""
    frame = pl.DataFrame({name: pl.Series([row[name] for row in rows], dtype=pl.String) for name in columns})
    for name, read, kinds in (
        ("kg", number, [pl.Float64]),
        ("changed", number, [pl.Int64, pl.Int32, pl.Float64]),
        ("at", moment, [pl.Datetime("us"), pl.Datetime("ms"), pl.Datetime("ns")]),
    ):
        values = [read(row[name]) for row in rows if name in columns and row[name] is not None]
        if values and None not in values and chance.random() < 0.7:
            kind = chance.choice(kinds)
            values = [None if row[name] is None else read(row[name]) for row in rows]
            values = [int(value) if kind.is_integer() and value is not None else value for value in values]
            frame = frame.with_columns(pl.Series(name, values, kind))
    return frame


class Sqlite(Source):
    """An SQLite table whose columns hold whatever is put into them."""

    at, exact = "sqlite:///rows.db::rows", False

    def write(self, columns, rows, chance):
        """Write the table anew."""
        (self.folder / "rows.db").unlink(missing_ok=True)
        with closing(sqlite3.connect(self.folder / "rows.db")) as database, database:
            database.execute("create table rows (" + ", ".join(f'"{name}"' for name in columns) + ")")
            for row in rows:
                cells = [self.cell(name, row[name], chance) for name in columns]
                database.execute(f"insert into rows values ({', '.join('?' * len(columns))})", cells)  # noqa: S608

    @staticmethod
    def cell(name, cell, chance):
        """Return a cell as a number where it is one, or as text."""
        value = number(cell) if name in ("kg", "changed") and chance.random() < 0.5 else None
        return cell if value is None else value

    def damage(self, chance):
        """Write over its beginning."""
        file = self.folder / "rows.db"
        file.write_bytes(b"no database" + file.read_bytes()[chance.randint(20, 60) :])


class Excel(Source):
    """A workbook with one sheet."""

    at, exact = "rows.xlsx", False

    def write(self, columns, rows, chance):
        """Write the workbook anew."""
        book = xlsxwriter.Workbook(str(self.folder / self.at), {"strings_to_formulas": False})
        sheet, clock = book.add_worksheet(), book.add_format({"num_format": "dd.mm.yyyy hh:mm"})
        sheet.write_row(0, 0, columns)
        for place, row in enumerate(rows, 1):
            for column, name in enumerate(columns):
                cell = row[name]
                if name == "at" and moment(cell) and chance.random() < 0.5:
                    sheet.write_datetime(place, column, moment(cell), clock)
                elif name == "kg" and number(cell) is not None and chance.random() < 0.5:
                    sheet.write_number(place, column, number(cell))
                elif cell == "#DIV/0!":
                    sheet.write_formula(place, column, "=1/0", None, cell)
                elif cell is not None:
                    sheet.write_string(place, column, cell)
        book.close()

    def damage(self, chance):
        """Cut it."""
        file = self.folder / self.at
        file.write_bytes(file.read_bytes()[: chance.randint(1, 500)])


KINDS = (Csv, JsonLines, Parquet, Delta, Sqlite, Excel)


def chance_of(seed):
    """Return a generator that decides the same again."""
    return random.Random(seed)  # noqa: S311  of a table
