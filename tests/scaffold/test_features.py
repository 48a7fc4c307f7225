"""Promises of the features that a new line begins with."""

import polars as pl

from factory.scaffold.features import common_words
from tests.scaffold.lines import cleaned, features, importable, loaded, project, written

SAID = ["Please top  up my card", "TOP-UP failed twice", "the card was top secret", "up to the roof", "stop upset"]
TEXTS = [f"{text} {number}" for number in range(40) for text in SAID]


def test_words_and_pairs_of_words_that_some_texts_have_are_found_blind_to_the_target():
    words = common_words(pl.Series([*TEXTS, None]))
    assert {"card", "top up"} <= set(words)
    assert not {"the", "to the", "up", "stop up"} & set(words)
    assert common_words(pl.Series(["of the", "to us"] * 50)) == []


def test_a_pair_of_words_is_found_in_a_text_however_it_is_parted_and_nowhere_else(tmp_path):
    root = project(tmp_path)
    frame = pl.DataFrame({"n": range(200), "text": TEXTS, "y": [n % 3 == 0 for n in range(200)]})
    frame.write_parquet(root / "texts.parquet")
    written(root, "texts", root / "texts.parquet", "y")
    with importable(root):
        line, source = loaded(root, "texts")
        rows = features(line, cleaned(line, source)).sort("n").head(5)
    assert rows["text_has_top_up"].to_list() == [1.0, 1.0, 0.0, 0.0, 0.0]
    assert rows["text_has_card"].to_list() == [1.0, 0.0, 1.0, 0.0, 0.0]
