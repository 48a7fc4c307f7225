"""Promises of the JSON reader: literals as they are written, no record lost, and what is cut short refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.connectors.tables import csv_text, json_files, json_text
from factory.connectors.tables.json_lines import flat_objects, keys_of
from factory.connectors.tables.json_text import commas_of
from factory.errors import SourceError
from factory.storage.columns import LINE, UNPARSED
from tests.connectors.tables.reading import rows_in, values_in


def as_lines(records):
    return "".join(f"{json.dumps(one, ensure_ascii=False)}\n" for one in records)


def as_list(records):
    return json.dumps(records, ensure_ascii=False, indent=2)


def as_objects(records):
    return "\n".join(json.dumps(one, indent=1) for one in records)


LITERALS = '{"id": 1234567890123456789, "kg": 80.0, "far": 1e400, "ok": true, "no": null, "of": {"a" : [1.50, "x"] } }'


@pytest.mark.parametrize("text", [f"{LITERALS}\n", f"[{LITERALS}]", f"\n{LITERALS}", f"[\n{LITERALS}\n]\n"])
def test_values_are_what_is_written(text, tmp_path):
    (tmp_path / "orders.json").write_text(text)
    assert values_in(tmp_path, "orders.json") == [
        ("1234567890123456789", "80.0", "1e400", "true", None, '{"a":[1.50,"x"]}')
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
RECORDS = st.lists(
    st.dictionaries(st.text('ab,{["\\', min_size=1, max_size=3), JSON, min_size=1), min_size=1, max_size=6
)


def text_of(value):
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@given(records=RECORDS, write=st.sampled_from([as_lines, as_list, as_objects]), chunk=st.integers(1, 60))
def test_whatever_is_written_comes_back_in_order(records, write, chunk, tmp_path_factory):
    folder = tmp_path_factory.mktemp("json")
    if write is as_objects and len(records) == 1:
        records = records * 2
    (folder / "orders.jsonl").write_text(write(records), encoding="utf-8")
    with pytest.MonkeyPatch.context() as small:
        small.setattr(csv_text, "CHUNK_BYTES", chunk)
        small.setattr(json_files, "BATCH_ROWS", 2)
        rows = rows_in(folder, "orders.jsonl")
    names = list(dict.fromkeys(name for one in records for name in one))
    assert rows.select(names).rows() == [tuple(text_of(one.get(name)) for name in names) for one in records]
    assert rows[UNPARSED].null_count() == len(records)
    if write is as_lines:
        assert rows[LINE].to_list() == list(range(1, len(records) + 1))


def test_the_line_at_which_each_object_begins_is_told(tmp_path):
    (tmp_path / "orders.json").write_text('[\n {"id": 1,\n  "kg": 2},\n\n {"id": 3}\n]\n')
    assert rows_in(tmp_path, "orders.json")[LINE].to_list() == [2, 5]


def test_what_is_no_object_is_told_as_it_is_written(tmp_path):
    (tmp_path / "orders.jsonl").write_text('{"id": 1}\n[2]\n{"id": 3,}\n{"id": 4, "id": 5}\n{"id": 6}\n')
    rows = rows_in(tmp_path, "orders.jsonl")
    assert rows["id"].to_list() == ["1", None, None, None, "6"]
    assert rows[UNPARSED].to_list() == [None, "[2]", '{"id": 3,}', '{"id": 4, "id": 5}', None]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"id": 1}\n{"id": 2', "line 2, .*the file ends in the middle of this record"),
        ('[{"id": 1},\n{"id": 2}', r"line 2, .*',' should stand here"),
        ('[{"id": 1},\n{"id": ', "line 2, .*cut short or damaged"),
        ('[{"id": 1}\n{"id": 2}]', r"line 2, .*',' should stand here"),
        ('[{"id": 1}]\n[{"id": 2}]', "line 2, .*something follows the list"),
        ('{\n "data": [{"id": 1}]\n}', r"list of records in 'data'; say `records: data` .*jq \.data"),
        ('{"of": {"data": [{"id": 1}]}}', "say `records: of.data`"),
        ('{"a": [1, 2], "b": [3, 4]}', "no record; write a list of objects"),
        ('{"1": {"a": 1}, "2": {"a": 2}}', "no record; write a list of objects"),
        ("", "it is empty"),
        ("1\n2\n", "it holds no objects"),
    ],
)
def test_what_is_cut_short_or_no_table_is_refused(text, said, tmp_path):
    (tmp_path / "orders.json").write_text(text)
    with pytest.raises(SourceError, match=said) as refused:
        rows_in(tmp_path, "orders.json")
    assert "orders.json" in str(refused.value)


@given(records=RECORDS, indent=st.sampled_from([None, 1]), chunk=st.integers(1, 60), deep=st.booleans())
def test_a_list_under_a_key_is_read_as_if_it_were_alone(records, indent, chunk, deep, tmp_path_factory):
    folder = tmp_path_factory.mktemp("json")
    around = {"count": 2, "of": [1, {"a": 2}], "data": records, "next": None, "also": [{"x": 1}, {"x": 2}]}
    within = "data"
    if deep:
        around, within = {"meta": {}, "answer": around, "end": 1}, "answer.data"
    (folder / "orders.json").write_text(json.dumps(around, indent=indent, ensure_ascii=False), encoding="utf-8")
    with pytest.MonkeyPatch.context() as small:
        small.setattr(csv_text, "CHUNK_BYTES", chunk)
        rows = rows_in(folder, "orders.json", records=within)
    names = list(dict.fromkeys(name for one in records for name in one))
    assert rows.select(names).rows() == [tuple(text_of(one.get(name)) for name in names) for one in records]


def test_pages_of_a_list_are_one_table(tmp_path):
    (tmp_path / "orders.jsonl").write_text('{"page": 1, "data": [{"id": 1}, {"id": 2}]}\n{"data": [{"id": 3}]}\n')
    assert values_in(tmp_path, "orders.jsonl", records="data") == [("1",), ("2",), ("3",)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"rows": [{"id": 1}], "n": 1}', "no key 'data', .* it has rows, n; mend `records`"),
        ('{"data": [{"id": 1}], "data": [{"id": 2}]}', "'data' is in an object twice"),
        ('{"data": [{"id": 1}, {"id": 2}', "',' should stand here"),
        ('{"data": [{"id": 1}]', "'}' should stand here"),
        ('{"data": {"id": 1}}', r"'\[' should stand here"),
    ],
)
def test_a_list_that_is_not_under_its_key_or_cut_short_is_refused(text, said, tmp_path):
    (tmp_path / "orders.json").write_text(text)
    with pytest.raises(SourceError, match=said):
        rows_in(tmp_path, "orders.json", records="data")


def test_a_record_of_one_line_may_hold_lists(tmp_path):
    (tmp_path / "orders.jsonl").write_text('{"of": [{"id": 1}]}')
    (tmp_path / "order.json").write_text('{"id": 1, "tags": ["a"]}')
    assert values_in(tmp_path, "orders.jsonl") == [('[{"id":1}]',)]
    assert values_in(tmp_path, "order.json") == [("1", '["a"]')]


def test_a_reader_that_loses_an_object_is_found_out(tmp_path, monkeypatch):
    (tmp_path / "orders.json").write_text('[{"id": 1}, {"id": 2}, {"id": 3}]')
    decode = json_text.DECODER.raw_decode

    class Losing:
        def raw_decode(self, text, place):
            value, end = decode(text, place)
            return (value, end + 11) if value == {"id": "1"} else (value, end)

    monkeypatch.setattr(json_text, "DECODER", Losing())
    with pytest.raises(SourceError, match="2 objects were read, and 3 counted"):
        rows_in(tmp_path, "orders.json")


@given(st.lists(JSON, max_size=6))
def test_commas_between_values_are_counted_whatever_the_values_hold(values):
    assert commas_of(json.dumps(values)[1:-1]) == max(len(values) - 1, 0)


FLAT = st.dictionaries(
    st.sampled_from(["a", "b", "c d"]),
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text('ab1-e\\"\n:{é', max_size=6),
    min_size=1,
)


@given(records=st.lists(FLAT, min_size=1, max_size=8), ascii_=st.booleans())
def test_flat_objects_are_read_at_once_as_one_by_one(records, ascii_):
    keys = list(dict.fromkeys(key for one in records for key in one))
    text = "".join(f"{json.dumps(one, ensure_ascii=ascii_)}\n" for one in records)
    rows = flat_objects(text.encode(), keys, keys, 5)
    assert rows is not None
    assert keys_of(text.encode(), []) == keys_of(text.encode(), keys) == keys
    assert rows.select(keys).rows() == [tuple(text_of(one.get(key)) for key in keys) for one in records]
    assert rows[LINE].to_list() == list(range(5, 5 + len(records)))


SIGNS = st.sampled_from([*list('{}[]:,"\\ \n\r\t0159eE.+-u'), "true", "null", "NaN", '"a"', '"b":', "é"])


@given(
    records=st.lists(FLAT, min_size=1, max_size=4),
    separators=st.sampled_from([(",", ":"), (", ", ": "), (" , ", " : "), (",  ", ":")]),
    line_end=st.sampled_from(["\n", "\r\n"]),
    places=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 2), SIGNS), max_size=3),
)
def test_whatever_happens_to_lines_they_are_read_at_once_as_one_by_one_or_not_at_once(
    records, separators, line_end, places
):
    text = "".join(json.dumps(one, ensure_ascii=False, separators=separators) + line_end for one in records)
    for place, length, signs in places:
        place = min(place, len(text))  # noqa: PLW2901
        text = text[:place] + signs + text[place + length :]
    block = json_files._Block(text.encode(), 3, last=False)
    one_by_one = list(json_files._of_lines(block))
    known = list(dict.fromkeys(key for record in one_by_one for key in record.fields or ()))
    keys = ["a", "b", *known]
    rows = flat_objects(block.text, keys, keys, 3)
    if rows is not None:
        expected = json_files._frame(one_by_one, list(dict.fromkeys(keys)))
        assert rows.select(expected.columns).equals(expected)
    assert keys_of(block.text, []) in (None, known)


@pytest.mark.parametrize(
    "literal",
    [
        "+1",
        ".5",
        "1.",
        "1.e5",
        "007",
        "-.5",
        "-01",
        "inf",
        "nan",
        "1_0",
        "--1",
        "1e",
        "0x1",
        "1 2",
        "tru",
        '"a" "b"',
        "'a'",
    ],
)
def test_what_is_no_literal_is_left_to_be_read_one_by_one(literal):
    assert flat_objects(f'{{"a":1}}\n{{"a":{literal}}}\n'.encode(), ["a"], ["a"], 1) is None


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1}\n{"b":2}\n',
        '{"a":[1]}\n',
        '{"a":{"b":1}}\n',
        '{"a":1,"a":2}\n',
        '{"a":1}\n\n{"a":2}\n',
        '{"a":1}x\n',
        '{"a":1,"b":null}\n',
        '{"\\"a":null}\n',
        '{"a":"x\ny"}\n',
        '{"a":"\\ud800"}\n',
        '{"a":"\\x"}\n',
    ],
)
def test_what_is_not_flat_or_has_other_keys_is_left_to_be_read_one_by_one(text):
    assert flat_objects(text.encode(), ["a"], ["a"], 1) is None
