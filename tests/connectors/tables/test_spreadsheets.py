"""Promises of the reader of workbooks: cells as texts, the row of the sheet, a sheet by its name."""

import zipfile
from datetime import date, datetime

import pytest
import xlsxwriter
import xlwt
from hypothesis import given
from hypothesis import strategies as st

from factory.connectors.tables import spreadsheets
from factory.connectors.tables.spreadsheets import text_of_cell, texts_of
from factory.errors import SourceError
from factory.storage.columns import LINE
from tests.connectors.tables.reading import rows_in, values_in


def workbook(path, sheets):
    """Write sheets of cells; None leaves a cell empty."""
    book = xlsxwriter.Workbook(str(path))
    formats = {date: book.add_format({"num_format": "dd.mm.yyyy"}), datetime: book.add_format({"num_format": "hh:mm"})}
    for name, rows in sheets.items():
        sheet = book.add_worksheet(name)
        for row, cells in enumerate(rows):
            for column, cell in enumerate(cells):
                if isinstance(cell, date):
                    sheet.write_datetime(row, column, cell, formats[type(cell)])
                elif cell is not None:
                    sheet.write(row, column, cell)
    book.close()


ROWS = [
    ["id", "made", "kg", "ok", "note"],
    [1, datetime(2024, 1, 2, 3, 4, 5), 2.63, True, "007"],
    [12345678901, date(2024, 1, 2), 80.0, False, None],
    [],
    [3, None, 0.1234567890123, None, 'a, "b"\nc'],
]
TEXTS = [
    ("1", "2024-01-02 03:04:05", "2.63", "true", "007"),
    ("12345678901", "2024-01-02 00:00:00", "80", "false", None),
    ("3", None, "0.1234567890123", None, 'a, "b"\nc'),
]


def test_cells_are_texts_and_rows_have_their_number(tmp_path):
    workbook(tmp_path / "orders.xlsx", {"May": ROWS})
    assert values_in(tmp_path, "orders.xlsx") == TEXTS
    assert rows_in(tmp_path, "orders.xlsx")[LINE].to_list() == [2, 3, 5]


def test_an_error_in_a_cell_is_its_text_and_no_missing_value(tmp_path):
    book = xlsxwriter.Workbook(str(tmp_path / "orders.xlsx"))
    book.add_worksheet("Notes")
    sheet = book.add_worksheet("May")
    for row, cells in enumerate([["id", "kg"], [1, "#DIV/0!"], [None, None], ["#NAME?", None], [3, 2.5]], 3):
        for column, cell in enumerate(cells, 2):
            if str(cell).startswith("#"):
                sheet.write_formula(row, column, "=1/0", None, cell)
            elif cell is not None:
                sheet.write(row, column, cell)
    book.close()
    rows = rows_in(tmp_path, "orders.xlsx!May")
    assert rows.select(LINE, "id", "kg").rows() == [(5, "1", "#DIV/0!"), (7, "#NAME?", None), (8, "3", "2.5")]


def test_an_error_in_an_old_workbook_is_its_text(tmp_path):
    book = xlwt.Workbook()
    sheet = book.add_sheet("May")
    codes = bytes.fromhex("00070f171d242a")
    errors = ["#NULL!", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#N/A"]
    for row, code in enumerate(codes, 1):
        sheet.write(row, 0, row)
        sheet.row(row).set_cell_error(1, code)
    sheet.write(0, 0, "id")
    sheet.write(0, 1, "kg")
    book.save(str(tmp_path / "orders.xls"))
    assert [kg for _, kg in values_in(tmp_path, "orders.xls")] == errors


def test_titles_and_footers_are_left_out(tmp_path):
    workbook(tmp_path / "orders.xlsx", {"May": [[], ["Export of May"], *ROWS, ["Sum", None, 83.2]]})
    assert values_in(tmp_path, "orders.xlsx", skip_lines=2, footer=1) == TEXTS
    assert rows_in(tmp_path, "orders.xlsx", skip_lines=2)[LINE].to_list() == [4, 5, 7, 8]


def test_a_sheet_is_named_where_there_are_many(tmp_path):
    workbook(tmp_path / "orders.xlsx", {"April": [["id"], [1]], "May": [["id"], [2]], "Notes": []})
    assert values_in(tmp_path, "orders.xlsx!May") == [("2",)]
    with pytest.raises(SourceError, match=r"it has 2 sheets .*April, May; name one, as in orders\.xlsx!April"):
        rows_in(tmp_path, "orders.xlsx")
    with pytest.raises(SourceError, match="it has no sheet 'June'; it has April, May, Notes"):
        rows_in(tmp_path, "orders.xlsx!June")


def test_an_old_workbook_and_one_of_open_document_are_read(tmp_path):
    book = xlwt.Workbook()
    sheet = book.add_sheet("May")
    for column, cell in enumerate(["id", "kg"]):
        sheet.write(0, column, cell)
        sheet.write(1, column, column + 0.5)
    book.save(str(tmp_path / "orders.xls"))
    assert values_in(tmp_path, "orders.xls") == [("0.5", "1.5")]
    cell = '<table:table-cell office:value-type="{}"{}><text:p>{}</text:p></table:table-cell>'
    rows = [
        "".join(cell.format("string", "", name) for name in ("id", "kg")),
        "".join(cell.format("float", f' office:value="{value}"', value) for value in (7, 2.63)),
    ]
    spaces = "".join(
        f' xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in ("office", "table", "text")
    )
    table = "".join(f"<table:table-row>{row}</table:table-row>" for row in rows)
    with zipfile.ZipFile(tmp_path / "orders.ods", "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("META-INF/manifest.xml", "<manifest/>")
        archive.writestr(
            "content.xml",
            f"<office:document-content{spaces}><office:body><office:spreadsheet>"
            f'<table:table table:name="May">{table}</table:table>'
            "</office:spreadsheet></office:body></office:document-content>",
        )
    assert values_in(tmp_path, "orders.ods") == [("7", "2.63")]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3) | st.booleans() | st.dates()))
def test_a_column_is_written_as_its_cells_one_by_one(cells):
    assert texts_of(cells).to_list() == [text_of_cell(cell) for cell in cells]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False)))
def test_numbers_are_written_as_python_writes_them(numbers):
    texts = [f"{number:.0f}" if number.is_integer() and abs(number) < 1e15 else repr(number) for number in numbers]
    assert texts_of(numbers).to_list() == texts


def test_a_workbook_is_read_once_for_its_heading_and_its_records(tmp_path):
    workbook(tmp_path / "orders.xlsx", {"May": ROWS})
    assert values_in(tmp_path, "orders.xlsx") == TEXTS
    workbook(tmp_path / "orders.xlsx", {"May": [["id"], [1]], "June": []})
    assert values_in(tmp_path, "orders.xlsx") == [("1",)], "another version of it is read anew"
    assert values_in(tmp_path, "orders.xlsx") == [("1",)]
    assert not spreadsheets._OPENED


def test_what_is_no_workbook_or_empty_is_refused(tmp_path):
    (tmp_path / "orders.xlsx").write_bytes(b"PK\x03\x04 no workbook")
    with pytest.raises(SourceError, match=r"orders\.xlsx cannot be read as excel"):
        rows_in(tmp_path, "orders.xlsx")
    workbook(tmp_path / "empty.xlsx", {"May": []})
    with pytest.raises(SourceError, match="it has 0 sheets with something in them"):
        rows_in(tmp_path, "empty.xlsx")
