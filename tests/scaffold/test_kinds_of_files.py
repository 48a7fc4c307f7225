"""A line is made from whatever file people have, with nothing said of how it is written, and its rows come in."""

import csv
import gzip
import io
import json
import random
import zipfile
from datetime import datetime, timedelta

import polars as pl
import pytest
import xlsxwriter
import yaml
from backports import zstd

from tests.connectors.file_server import serving
from tests.scaffold.lines import cleaned, importable, loaded, project, written

HEADING = ["batch", "plant", "at", "carbon", "kind", "reject"]
_CHANCE = random.Random(5)  # noqa: S311  of a table
ROWS = [
    [
        number + 1,
        _CHANCE.choice(["Köln", "Ulm"]),
        datetime(2024, 1, 1) + timedelta(hours=number),
        round(_CHANCE.gauss(80, 9), 2),
        _CHANCE.choice("abc"),
        int(_CHANCE.random() < 0.3),
    ]
    for number in range(200)
]
FRAME = pl.DataFrame(ROWS, schema=HEADING, orient="row")
RECORDS = [dict(zip(HEADING, [*row[:2], str(row[2]), *row[3:]], strict=True)) for row in ROWS]


def german(separator=";", line_end="\r\n", above="", below="", quoting=csv.QUOTE_MINIMAL):
    """Return the table as a German program writes it."""
    text = io.StringIO()
    text.write(above)
    writer = csv.writer(text, delimiter=separator, lineterminator=line_end, quoting=quoting)
    writer.writerow(HEADING)
    for batch, plant, at, carbon, kind, reject in ROWS:
        writer.writerow([batch, plant, f"{at:%d.%m.%Y %H:%M}", f"{carbon:.2f}".replace(".", ","), kind, reject])
    return text.getvalue() + below


def workbook(path):
    book = xlsxwriter.Workbook(str(path))
    sheet, moment = book.add_worksheet("Mai"), book.add_format({"num_format": "dd.mm.yyyy hh:mm"})
    sheet.write(0, 0, "Schmelzen")
    for row, cells in enumerate([HEADING, *ROWS], 2):
        for column, cell in enumerate(cells):
            if isinstance(cell, datetime):
                sheet.write_datetime(row, column, cell, moment)
            else:
                sheet.write(row, column, cell)
    book.close()


def zipped(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("melt.csv", german())


def folder(path):
    path.mkdir()
    FRAME.head(120).write_parquet(path / "1.parquet")
    FRAME.tail(80).write_parquet(path / "2.parquet")


TITLED = german(above="Schmelzen im Mai\r\n\r\nvon;Müller\r\n", below="Summe;;;16000,12;;\r\n200 Zeilen\r\n")
KINDS = {
    "titles.csv": (
        lambda path: path.write_bytes(TITLED.encode("cp1252")),
        {"separator": ";", "encoding": "cp1252", "skip_lines": 3, "footer": 2},
    ),
    "tabs.txt": (
        lambda path: path.write_bytes(german("\t").encode("utf-16")),
        {"separator": "\t", "encoding": "utf-16"},
    ),
    "mac.csv": (lambda path: path.write_bytes(german("|", "\r").encode("utf-8-sig")), {"separator": "|"}),
    "said.csv": (
        lambda path: path.write_bytes(("sep=;\r\n" + german(quoting=csv.QUOTE_ALL)).encode()),
        {"separator": ";", "skip_lines": 1},
    ),
    "melt.csv.gz": (lambda path: path.write_bytes(gzip.compress(german().encode())), {"separator": ";"}),
    "melt.csv.zst": (lambda path: path.write_bytes(zstd.compress(german().encode())), {"separator": ";"}),
    "melt.zip": (zipped, {"separator": ";"}),
    "melt.json": (lambda path: path.write_text(json.dumps(RECORDS, indent=1)), {}),
    "page.json": (
        lambda path: path.write_text(json.dumps({"rows": 200, "answer": {"data": RECORDS}})),
        {"records": "answer.data"},
    ),
    "ends.csv": (
        lambda path: path.write_text(german().replace("\r\n", ";\r\n").replace("reject;", "reject"), newline=""),
        {"separator": ";"},
    ),
    "escapes.csv": (
        lambda path: path.write_text(german().replace("Ulm", '"\\"Ulm\\", Donau"'), newline=""),
        {"separator": ";", "escape": "\\"},
    ),
    "melt.jsonl": (lambda path: path.write_text("\n".join(map(json.dumps, RECORDS))), {}),
    "melt.xlsx": (workbook, {"skip_lines": 2}),
    "melt.parquet": (FRAME.write_parquet, {}),
    "melts": (folder, {}),
    "lake": (FRAME.write_delta, {}),
    "melt.feather": (FRAME.write_ipc, {}),
    "melt.arrows": (FRAME.write_ipc_stream, {}),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_line_is_made_of_it_and_all_rows_come_in(name, tmp_path):
    root = project(tmp_path)
    write, expected = KINDS[name]
    write(root / name)
    require_line(root, name, expected)


def test_a_line_is_made_of_what_lies_at_an_address(tmp_path):
    with serving() as web:
        web.files["/exports/melt.csv"] = german().encode("cp1252")
        require_line(project(tmp_path), f"{web.address}/exports/melt.csv", {"separator": ";", "encoding": "cp1252"})


def test_an_address_in_the_environment_and_a_file_in_a_zip_stand_in_the_line_as_they_were_said(tmp_path, monkeypatch):
    root = project(tmp_path / "project")
    monkeypatch.chdir(tmp_path)
    with serving() as web:
        web.files["/melt.csv?sig=top-secret-signature"] = german().encode()
        monkeypatch.setenv("MELT_URL", f"{web.address}/melt.csv?sig=top-secret-signature")
        require_line(root, "env:MELT_URL", {"separator": ";"})
    assert "top-secret" not in "".join(file.read_text() for file in (root / "lines" / "melt").rglob("*.*"))
    with zipfile.ZipFile(root / "exports.zip", "w") as archive:
        archive.writestr("may/melt.csv", german())
        archive.writestr("april/melt.csv", german())
    other = written(root, "other", "exports.zip!may/melt.csv", "reject", time="at", site="plant")
    assert 'at: "exports.zip!may/melt.csv"' in (other.folder / "defs.yaml").read_text()


def require_line(root, at, expected):
    made = written(root, "melt", at if ":" in at else root / at, "reject", time="at", site="plant")
    attributes = yaml.safe_load((made.folder / "defs.yaml").read_text())["attributes"]
    (arguments,) = attributes["source"]["arguments"]["tables"].values()
    assert {name: value for name, value in arguments.items() if name not in ("at", "names")} == expected
    with importable(root):
        line, source = loaded(root, "melt")
        rows = cleaned(line, source)
    accepted, ulm = rows.accepted.sort("batch"), '"Ulm", Donau' if at == "escapes.csv" else "Ulm"
    assert len(accepted) == len(ROWS)
    assert accepted.select("batch", "plant", "carbon", "reject").rows() == [
        (batch, plant.replace("Ulm", ulm), carbon, reject) for batch, plant, _, carbon, _, reject in ROWS
    ]
    assert accepted[line.decisions.cursor].dt.replace_time_zone(None).to_list() == [row[2] for row in ROWS]
