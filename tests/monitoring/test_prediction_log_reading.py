"""What the gateway recorded is read once for each site, wherever segments grow, end, go or are damaged."""

from factory.monitoring.prediction_log.reading import LogReader, cursors, keep_cursors
from factory.storage.lake import Lake
from tests.monitoring.recorded import batch, segment


def reading(folder, read=None):
    return LogReader(folder=folder, line="toy", read=read or {"UA": {}, "DL": {}})


def names(unread, **how):
    return [name for portion in unread.portions(**how) for some in portion.values() for one in some for name in one.ids]


def test_only_the_lines_own_batches_of_the_wanted_sites_are_read(tmp_path):
    segment(tmp_path, "1.log", batch("a"), batch("b", site="DL"), batch("c", site="WN"), batch("d", line="other"))
    (portion,) = reading(tmp_path).portions()
    assert {site: [one.ids for one in some] for site, some in portion.items()} == {"UA": [["a"]], "DL": [["b"]]}


def test_reading_goes_on_in_a_segment_that_grew_and_is_complete_now(tmp_path):
    place = segment(tmp_path, "1.open", batch("a"))
    first = reading(tmp_path)
    assert names(first) == ["a"]
    read = dict.fromkeys(("UA", "DL"), first.reached)
    assert names(reading(tmp_path, read)) == []
    segment(tmp_path, "1.open", batch("b"))
    place.rename(tmp_path / "1.log")
    segment(tmp_path, "2.open", batch("c"))
    assert names(reading(tmp_path, read)) == ["b", "c"]


def test_each_site_goes_on_where_it_was_read_to(tmp_path):
    segment(tmp_path, "1.log", batch("a"), batch("b", site="DL"))
    first = LogReader(folder=tmp_path, line="toy", read={"UA": {}})
    assert names(first) == ["a"]
    assert names(reading(tmp_path, {"UA": first.reached, "DL": {}})) == ["b"]


def test_a_segment_that_is_gone_is_in_no_cursor(tmp_path):
    gone = segment(tmp_path, "1.log", batch("a"))
    segment(tmp_path, "2.log", batch("b"))
    first = reading(tmp_path)
    assert names(first) == ["a", "b"]
    gone.unlink()
    second = reading(tmp_path, dict.fromkeys(("UA", "DL"), first.reached))
    assert names(second) == []
    assert set(second.reached) == {"2"}


def test_what_is_behind_damage_is_told_of_and_the_other_segments_are_read(tmp_path):
    place = segment(tmp_path, "1.log", batch("a"), batch("b"))
    content = bytearray(place.read_bytes())
    content[-1] ^= 1
    place.write_bytes(content)
    segment(tmp_path, "2.open", batch("c"))
    cut = tmp_path / "2.open"
    cut.write_bytes(cut.read_bytes() + b"half")  # its writer is in the middle of a batch
    unread = reading(tmp_path)
    assert names(unread) == ["a", "c"]
    assert list(unread.damaged) == [place]
    assert unread.damaged[place] == len(content) - unread.reached["1"] > 0


def test_no_more_than_a_portion_is_in_memory(tmp_path):
    segment(tmp_path, "1.log", *(batch(f"p{number}") for number in range(10)))
    portions = list(reading(tmp_path).portions(at_most_bytes=8000))  # a batch takes some 2,100
    assert [len(portion["UA"]) for portion in portions] == [4, 4, 2]
    assert names(reading(tmp_path), at_most_bytes=8000) == [f"p{number}" for number in range(10)]


def test_without_a_folder_there_is_nothing_to_read(tmp_path):
    assert names(reading(tmp_path / "nowhere")) == []


def test_a_cursor_that_saw_more_of_the_table_than_is_there_does_not_count(tmp_path):
    lake = Lake(tmp_path, "toy")
    assert cursors(lake, {"UA": 0}) == {"UA": {}}
    keep_cursors(lake, {"UA": {"1": 70}, "DL": {"1": 30}}, {"UA": 2, "DL": 1})
    assert cursors(lake, {"UA": 2, "DL": 4, "WN": 0}) == {"UA": {"1": 70}, "DL": {"1": 30}, "WN": {}}
    assert cursors(lake, {"UA": 1, "DL": 1}) == {"UA": {}, "DL": {"1": 30}}
    keep_cursors(lake, {"UA": {"2": 9}}, {"UA": 3})
    assert cursors(lake, {"UA": 3, "DL": 1}) == {"UA": {"2": 9}, "DL": {"1": 30}}
