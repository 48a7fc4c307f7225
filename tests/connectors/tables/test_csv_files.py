"""Promises of the CSV reader: no record is lost, no value changed, and what cannot be read is said with its line."""

import bz2
import csv
import gzip
import io
import lzma
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest
from backports import zstd
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from factory.connectors.tables import csv_files, csv_text
from factory.connectors.tables.arguments import TableAt, tables_of
from factory.connectors.tables.csv_text import unique_names
from factory.connectors.tables.place import place_of
from factory.connectors.tables.reader import Narrowing
from factory.connectors.tables.readers import reader_of
from factory.errors import LineError, SourceError
from factory.storage.columns import FILE, LINE, UNPARSED


def rows_of(content, at="orders.csv", columns=None, only=None, **dialect):
    """Return what a file of this content is read as."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / at).write_bytes(content)
        return rows_in(Path(folder), at, columns, only, **dialect)


def rows_in(folder, at, columns=None, only=None, **dialect):
    said = TableAt(at=at, **dialect)
    reader = reader_of(place_of(at, Path(folder)), said)
    columns = list(reader.schema()) if columns is None else columns
    batches = list(reader.batches(columns, only or Narrowing()))
    kinds = {**dict.fromkeys(columns, pl.String), LINE: pl.Int64, UNPARSED: pl.String, FILE: pl.String}
    return pl.concat(batches) if batches else pl.DataFrame(schema=kinds)


def values(rows):
    return rows.drop(FILE, LINE, UNPARSED).rows()


SIGNS = st.sampled_from([*"ab1,;\t|\"'\n\r #", "\r\n", "é", "€", "😀", "", "\ufeff", '12" pipe'])
TEXTS = st.lists(SIGNS, max_size=6).map("".join)
TABLES = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(TEXTS, min_size=width, max_size=width), min_size=1, max_size=8)
)
PACKED = {
    "orders.csv": bytes,
    "orders.csv.gz": gzip.compress,
    "orders.csv.zst": zstd.compress,
    "orders.csv.bz2": bz2.compress,
    "orders.csv.xz": lzma.compress,
}


def looks_like_many(record, separator, width, line_end):
    """Whether a stray quote mark may have swallowed lines: all have the separators of a record."""
    lines = record.split("\n" if line_end.endswith("\n") else "\r")
    return len(lines) > 1 and width > 2 and all(line.count(separator) == width - 1 for line in lines)


@given(
    table=TABLES,
    separator=st.sampled_from(",;\t|"),
    quote=st.sampled_from("\"'"),
    line_end=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le"]),
    at=st.sampled_from([*PACKED]),
    chunk=st.sampled_from([1, 3, 50, 1 << 20]),
)
def test_whatever_a_writer_writes_comes_back_with_the_line_it_begins_at(
    table, separator, quote, line_end, quoting, encoding, at, chunk
):
    width = len(table[0])
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, quotechar=quote, lineterminator=line_end, quoting=quoting)
    writer.writerow([f"name {place}" for place in range(width)])
    expected, line = [], 2
    for row in table:
        before = text.tell()
        writer.writerow(row)
        text.seek(before)
        record = text.read().removesuffix(line_end)
        many = looks_like_many(record, separator, width, line_end)
        expected.append((line, record if many else None, [None] * width if many else row))
        line += record.count("\n") + 1
    reads_back = list(csv.reader(io.StringIO(text.getvalue(), newline=""), delimiter=separator, quotechar=quote))[1:]
    assume(reads_back == table)
    content = PACKED[at](text.getvalue().encode(encoding))
    with pytest.MonkeyPatch.context() as small:
        small.setattr(csv_text, "CHUNK_BYTES", chunk)
        rows = rows_of(content, at, separator=separator, quote=quote, encoding=encoding.removesuffix("-sig"))
    assert rows[LINE].to_list() == [line for line, _, _ in expected]
    assert rows[UNPARSED].to_list() == [unparsed for _, unparsed, _ in expected]
    read = [[value or "" for value in row] for row in values(rows)]
    assert read == [[value or "" for value in row] for _, _, row in expected]
    assert rows[FILE].unique().to_list() == [at]


class Read(NamedTuple):
    """A record as the reference below reads it."""

    line: int
    text: str
    fields: list[str]
    fits: bool


def read_sign_by_sign(text):
    """Return the records of a text after its heading; raises IndexError where a quote mark is never closed."""
    records, place = [], 0
    while place < len(text):
        start, fields, fits, ended = place, [""], True, False
        while not ended:
            quoted = text[place : place + 1] == '"'
            if quoted:
                place += 1
                while text[place] != '"' or text[place : place + 2] == '""':
                    fields[-1] += text[place]
                    place += 1 + (text[place] == '"')
                place += 1
            while place < len(text) and text[place] not in ",\n":
                last_of_line = text[place] == "\r" and text[place + 1 : place + 2] in ("\n", "")
                fits &= last_of_line or not (quoted or text[place] == "\r")
                fields[-1] += "" if last_of_line else text[place]
                place += 1
            ended = text[place : place + 1] != ","
            place += 1
            fields += [] if ended else [""]
        record = text[start : place - 1].removesuffix("\r")
        records.append(Read(text.count("\n", 0, start) + 1, record, fields, fits))
    return records[1:]


DAMAGE = st.lists(
    st.tuples(st.integers(0, 400), st.sampled_from([*b'",\n\r;x\x00\xff ']), st.integers(0, 2)), max_size=4
)


@settings(max_examples=150)
@given(
    table=TABLES,
    damage=DAMAGE,
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    line_end=st.sampled_from(["\n", "\r\n"]),
    chunk=st.integers(1, 99),
)
def test_whatever_happens_to_a_file_each_record_is_read_or_told_or_the_file_is_refused(
    table, damage, quoting, line_end, chunk
):
    width, text = len(table[0]), io.StringIO()
    writer = csv.writer(text, lineterminator=line_end, quoting=quoting)
    writer.writerow([f"name {place}" for place in range(width)])
    heading = text.tell()
    writer.writerows(table)
    content = bytearray(text.getvalue().encode())
    for at, sign, how in damage:
        place = heading + at % max(len(content) - heading, 1)
        content[place : place + (how != 1)] = b"" if how == 2 else bytes([sign])
    with pytest.MonkeyPatch.context() as small:
        small.setattr(csv_text, "CHUNK_BYTES", chunk)
        refusal, rows = "", None
        try:
            rows = rows_of(bytes(content))
        except SourceError as refused:
            refusal = str(refused)
    try:
        content = content.decode()
        expected = read_sign_by_sign(content)
    except (UnicodeDecodeError, IndexError):
        assert "is no utf-8" in refusal or "no other closes" in refusal or "NUL" in refusal
        return
    if "\0" in content or (not content.endswith("\n") and len(expected[-1].fields) < width and expected[-1].fits):
        assert "NUL" in refusal or "ends in the middle" in refusal
        return
    assert not refusal
    if width == 1:
        while expected and not expected[-1].text:
            expected.pop()
    else:
        expected = [one for one in expected if one.text.strip()]
    read = [
        one.fits and len(one.fields) == width and not looks_like_many(one.text, ",", width, "\n") for one in expected
    ]
    assert rows[LINE].to_list() == [one.line for one in expected]
    assert rows[UNPARSED].to_list() == [None if fits else one.text for one, fits in zip(expected, read, strict=True)]
    assert [[value or "" for value in row] for row in values(rows)] == [
        one.fields if fits else [""] * width for one, fits in zip(expected, read, strict=True)
    ]


@given(
    table=TABLES,
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONE]),
    line_end=st.sampled_from(["\n", "\r\n"]),
    chunk=st.integers(1, 60),
)
def test_signs_behind_an_escape_divide_nothing(table, quoting, line_end, chunk):
    table = [[field.replace("a", "\\").replace("\r", "") for field in row] for row in table]
    assume(all(map(any, table)))
    width, text = len(table[0]), io.StringIO()
    how = {"escapechar": "\\", "doublequote": False}
    writer = csv.writer(text, lineterminator=line_end, quoting=quoting, **how)
    writer.writerow([f"name {place}" for place in range(width)])
    writer.writerows(table)
    assume(list(csv.reader(io.StringIO(text.getvalue(), newline=""), **how))[1:] == table)
    with pytest.MonkeyPatch.context() as small:
        small.setattr(csv_text, "CHUNK_BYTES", chunk)
        rows = rows_of(text.getvalue().encode(), escape="\\")
    read = [row if many is None else many for *row, many in rows.select(pl.exclude(LINE, FILE)).rows()]
    assert len(read) == len(table)
    for row, expected in zip(read, table, strict=True):
        assert isinstance(row, str) or [field or "" for field in row] == expected
    if not any("\n" in field for row in table for field in row):
        assert not rows[UNPARSED].count()


def test_an_escape_before_a_sign_that_divides_nothing_is_that_sign():
    rows = rows_of(b'id,note\n1,"5\\" disk"\n2,C:\\new\\\\x\n3,\\N\n4,a\\,b\n5,"""x"""\n', escape="\\")
    assert values(rows) == [("1", '5" disk'), ("2", "C:\\new\\x"), ("3", "\\N"), ("4", "a,b"), ("5", '"x"')]
    rows = rows_of(b'id,note\n1,"5\\" disk"\n2,x\n')
    assert rows[UNPARSED].to_list() == ['1,"5\\" disk"', None]


@given(st.text(st.sampled_from('ab,"\n'), max_size=40))
def test_the_reference_reads_as_python_does(text):
    text = "heading\n" + text
    try:
        records = read_sign_by_sign(text)
    except IndexError:
        return
    assert [one.fields if one.text else [] for one in records] == list(csv.reader(io.StringIO(text, newline="")))[1:]


def test_a_quote_mark_within_a_field_is_what_it_says():
    rows = rows_of(b'id,note\n1,5" valve\n2,see 7" pipe\n3,"a ""quoted"" one"\n')
    assert values(rows) == [("1", '5" valve'), ("2", 'see 7" pipe'), ("3", 'a "quoted" one')]


def test_an_empty_field_is_a_null_and_a_quoted_empty_one_a_text():
    assert values(rows_of(b'a,b\n,""\n"",\n')) == [(None, ""), ("", None)]


def test_a_separator_at_the_end_of_every_record_is_a_column_of_nothing():
    rows = rows_of(b"id,kg\n" + b"".join(b"%d,2.5,\n" % number for number in range(30)) + b"30,1\n")
    assert rows["id"].to_list() == [*map(str, range(30)), None]
    assert rows["column_3"].null_count() == 31
    assert rows[UNPARSED].drop_nulls().to_list() == ["30,1"]
    assert rows_of(b"id,kg\n1,2,\n2,3\n")[UNPARSED].to_list() == ["1,2,", None]


def test_fields_too_many_or_too_few_are_told_with_the_records_text_and_nothing_else_is_touched():
    rows = rows_of(b'id,kg,note\n1,2,x\n2,3\n3,4,y,z\n4,"5" ,w\n\n   \n5,6,v\n')
    assert rows[LINE].to_list() == [2, 3, 4, 5, 8]
    assert rows[UNPARSED].to_list() == [None, "2,3", "3,4,y,z", '4,"5" ,w', None]
    assert rows["id"].to_list() == ["1", None, None, None, "5"]


def test_a_quote_mark_that_swallows_records_is_told_with_all_that_it_swallowed():
    content = b'id,kg,note\n1,2,"; see below\n2,3,x\n3,4,7"\n4,5,"two\nlines"\n'
    rows = rows_of(content)
    assert rows[UNPARSED].to_list() == ['1,2,"; see below\n2,3,x\n3,4,7"', None]
    assert rows[LINE].to_list() == [2, 5]
    assert rows["note"].to_list() == [None, "two\nlines"]


def test_only_the_wanted_columns_are_given_and_the_others_are_parsed_all_the_same():
    content = b'id,note,kg\n1,"a\nb,",2\n2,5" valve,3\n'
    rows = rows_of(content, columns=["kg"])
    assert rows.columns == ["kg", LINE, UNPARSED, FILE]
    assert rows["kg"].to_list() == ["2", "3"]
    assert rows[LINE].to_list() == [2, 4]


def test_a_reader_that_loses_a_record_is_found_out(monkeypatch):
    read = csv_files._fields
    monkeypatch.setattr(csv_files, "_fields", lambda *given: (read(*given)[0].slice(1), read(*given)[1]))
    with pytest.raises(SourceError, match=r"orders\.csv, line 2, .*2 records were read from here on, and 3 counted"):
        rows_of(b"id\n1\n2\n3\n")


def test_titles_footers_comments_and_blank_lines_are_no_records():
    content = b'Export of May\r\n\r\nid;kg\r\n\r\n# checked\r\n1;2,5\r\n2;"#3"\r\n;\r\n;;\r\nsum;5,5\r\n2 rows\r\n'
    rows = rows_of(content, separator=";", skip_lines=2, footer=2, comment="#")
    assert values(rows) == [("1", "2,5"), ("2", "#3"), (None, None), (None, None)]
    assert rows[LINE].to_list() == [6, 7, 8, 9]
    assert rows[UNPARSED].to_list() == [None, None, None, ";;"]


@pytest.mark.parametrize("footer", [1, 3])
def test_a_footer_is_left_out_wherever_the_blocks_end(footer, monkeypatch):
    monkeypatch.setattr(csv_text, "CHUNK_BYTES", 7)
    rows = rows_of(b"id,kg\n" + b"".join(b"%d,%d\n" % (row, row) for row in range(9)), footer=footer)
    assert rows["id"].to_list() == [str(row) for row in range(9 - footer)]


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "latin-1", "cp1252", "cp437", "shift_jis"]
)
def test_a_file_is_read_in_the_encoding_that_is_said(encoding):
    name = "重さ" if encoding == "shift_jis" else "Größe"
    content = f"id,{name}\n1,{name}\n".encode(encoding)
    assert rows_of(content, encoding=encoding).rows(named=True)[0][name] == name


def test_a_file_of_a_classic_mac_is_read():
    rows = rows_of(b'id,note\r1,"a\rb"\r\r2,c\r')
    assert values(rows) == [("1", "a\rb"), ("2", "c")]
    assert rows[LINE].to_list() == [2, 5]


def test_a_stray_line_end_of_another_kind_is_told():
    rows = rows_of(b'id,note\n1,a\rb\n2,c\n3,"d\re"\n')
    assert rows[UNPARSED].to_list() == ["1,a\rb", None, None]
    assert rows["note"].to_list() == [None, "c", "d\re"]


def test_columns_in_another_order_are_the_same_rows(tmp_path):
    (tmp_path / "1.csv").write_text("id,kg\n1,2\n")
    (tmp_path / "2.csv").write_text("kg,id\n4,3\n")
    rows = rows_in(tmp_path, "*.csv", ["id", "kg"])
    assert rows.select("id", "kg").rows() == [("1", "2"), ("3", "4")]
    assert rows[FILE].to_list() == ["1.csv", "2.csv"]


def test_a_rows_number_counts_over_all_files_and_records(tmp_path):
    (tmp_path / "1.csv").write_text("id,kg\n1,2\nx\n")
    (tmp_path / "2.csv").write_text("id,kg\n3,4\n")
    reader = reader_of(place_of("*.csv", tmp_path), TableAt(at="*.csv"))
    rows = pl.concat(reader.batches(["id"], Narrowing(), row_number="row"))
    assert rows["row"].to_list() == [1, 2, 3]


def test_rows_of_other_sites_are_left_out_and_those_that_cannot_be_read_are_not():
    rows = rows_of(b"id,plant\n1,Ulm\n2,Kiel\n3\n", only=Narrowing(column="plant", values=["Kiel"]))
    assert rows["id"].to_list() == ["2", None]
    assert rows[UNPARSED].to_list() == [None, "3"]


def test_headings_twice_or_without_a_name_are_told_apart():
    assert unique_names(["kg", "kg", "", "kg_2", "kg"]) == ["kg", "kg_3", "column_3", "kg_2", "kg_4"]
    assert values(rows_of(b"kg,kg,\n1,2,3\n")) == [("1", "2", "3")]


def test_a_zip_of_many_files_is_read_by_the_one_that_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "exports.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("may/orders.csv", "id\n1\n")
        archive.writestr("may/shops.csv", "id\n2\n")
    rows = rows_in(tmp_path, "exports.zip!may/shops.csv")
    assert rows["id"].to_list() == ["2"]
    assert rows[FILE].to_list() == ["exports.zip!may/shops.csv"]
    with pytest.raises(SourceError, match=r"2 files: may/orders.csv, may/shops.csv; name one, as in exports.zip!may/"):
        rows_in(tmp_path, "exports.zip")
    with pytest.raises(SourceError, match=r"has no file 'shops.csv'; it has may/orders.csv"):
        rows_in(tmp_path, "exports.zip!shops.csv")


@pytest.mark.parametrize(
    ("content", "dialect", "said"),
    [
        (b'id,note\n1,x\n2,"y\n3,z\n', {}, "line 3, cannot be read as csv: a quote mark opens a field here"),
        (b"id,note\n1,x\n2,\x00\n", {}, "line 3, cannot be read as csv: it has a NUL byte"),
        (b"id,note\n1,x\n2", {}, "line 3, cannot be read as csv: the file ends in the middle of this record"),
        ("id,note\n1,Größe\n".encode("cp1252"), {}, "line 2, .*byte 0xf6 is no utf-8; .*`encoding: cp1252`"),
        ("id,note\n1,Größe\n".encode("utf-16"), {}, "line 1, .*byte 0xff is no utf-8; .*`encoding: utf-16`"),
        (b"id,note\n1,\x81\n", {"encoding": "cp1252"}, "line 2, .*byte 0x81 is no cp1252"),
        (b"id\n1\n", {"encoding": "utf-99"}, "there is no encoding 'utf-99'"),
        (b"", {}, "it is empty: it has not even a heading"),
        (b"title\n", {"skip_lines": 3}, "it has fewer lines than the 3 to skip"),
        (b"title\n\n", {"skip_lines": 1}, "it has no heading"),
        (b'id,"a" b\n1,2\n', {}, "line 1, .*the heading's quote marks"),
    ],
)
def test_what_damages_a_whole_file_is_refused_with_its_line(content, dialect, said):
    with pytest.raises(SourceError, match=said) as refused:
        rows_of(content, **dialect)
    assert "orders.csv" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("at", [*PACKED][1:])
def test_a_packed_file_that_is_cut_short_or_changed_is_refused(at):
    rows = "".join(f"{row},{row * row}\n" for row in range(2000))
    content = PACKED[at](f"id,kg\n{rows}".encode())
    assert len(rows_of(content, at)) == 2000
    for damaged in (content[: len(content) // 2], content[:-3]):
        with pytest.raises(SourceError, match=r"orders\.csv"):
            rows_of(damaged, at)


def test_a_file_that_ends_without_a_line_end_is_whole_where_its_last_record_is():
    assert values(rows_of(b"id,kg\n1,2\n3,4")) == [("1", "2"), ("3", "4")]
    assert values(rows_of(b"id,kg")) == []


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"separator": ";;"}, "separator ';;' is not one ASCII sign"),
        ({"separator": ""}, "separator '' is not one ASCII sign"),
        ({"quote": "«"}, "quote '«' is not one ASCII sign"),
        ({"separator": "'", "quote": "'"}, "separator and quote are both"),
        ({"footer": -1}, "skip_lines and footer are numbers of lines"),
    ],
)
def test_a_dialect_that_nobody_writes_is_refused(said, why):
    with pytest.raises(LineError, match=why):
        tables_of({"orders": {"at": "orders.csv", **said}})


def test_memory_stays_bounded_by_the_block_of_a_record_without_end(monkeypatch):
    monkeypatch.setattr(csv_text, "CHUNK_BYTES", 1 << 10)
    monkeypatch.setattr(csv_text, "LONGEST_RECORD", 1 << 14)
    rest = "".join(f"{row},x\n" for row in range(9000))
    with pytest.raises(SourceError, match=r"line 3, .*a quote mark opens a field here"):
        rows_of(f'id,note\n1,x\n2,"\n{rest}'.encode())
    with pytest.raises(SourceError, match=r"line 2, .*a record of more than"):
        rows_of(b"id\n" + b"x" * (1 << 16))
