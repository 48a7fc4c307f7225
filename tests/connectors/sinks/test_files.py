"""Decisions as files: whole, each in one file, whenever the writer dies and whoever takes files away."""

import json
from collections import Counter

import polars as pl
import pytest

from factory.connectors.sinks.kinds import sink_of
from factory.errors import LineError
from tests.connectors.sinks.targets import NoJob, filled, target


class Killed(BaseException):
    """The process is gone."""


class Dying(NoJob):
    """Dies when it keeps its `at`-th text; the messages have what was kept before."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def keep(self, text, messages):
        """Die, or remember."""
        if len(self.kept) == self.at:
            raise Killed
        super().keep(text, messages)


def folder_sink(tmp_path, **options):
    return sink_of(
        target(
            "out", project=tmp_path, key="KEY", fields={"ORDER": "order", "P": "predicted_probability"}, options=options
        )
    )


def again(messages, job):
    """Return messages as the outbox gives them to a later attempt."""
    from dataclasses import replace

    return [replace(message, job=job.kept[-1] if job.kept else "") for message in messages]


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_a_batch_is_one_whole_file(tmp_path, kind):
    sink = folder_sink(tmp_path, format=kind)
    assert sink.check() == []
    results = list(sink.deliver([filled(_sectioned(sink), number) for number in range(3)], NoJob()))
    (file,) = (tmp_path / "out").iterdir()
    read = {"jsonl": pl.read_ndjson, "csv": pl.read_csv, "parquet": pl.read_parquet}[kind]
    assert {result.reference for result in results} == {file.name}
    assert read(file).select("ORDER", "P").rows() == [(0, 0.75), (1, 0.75), (2, 0.75)]


def _sectioned(sink):
    """Return something with the section that fills a message."""
    from types import SimpleNamespace

    section = target("out", key="KEY", fields={"ORDER": "order", "P": "predicted_probability"}).section
    return SimpleNamespace(target=SimpleNamespace(section=section))


@pytest.mark.parametrize("at", [0, 1])
def test_a_writer_that_dies_before_its_file_is_there_leaves_nothing_to_see(tmp_path, at):
    sink, job = folder_sink(tmp_path), Dying(at)
    messages = [filled(_sectioned(sink), 1)]
    with pytest.raises(Killed):
        list(sink.deliver(messages, job))
    assert not list((tmp_path / "out").glob("[!.]*")) if (tmp_path / "out").exists() else True
    assert sink.present(again(messages, job)) == {}
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []


def test_a_writer_that_dies_after_its_draft_was_to_be_published_is_told_apart_by_the_draft(tmp_path):
    sink, job = folder_sink(tmp_path), NoJob()
    messages = [filled(_sectioned(sink), 1)]
    (result,) = sink.deliver(messages, job)
    file = tmp_path / "out" / result.reference
    # Died after the rename, and the reader has taken the file away since.
    taken = file.read_bytes()
    file.unlink()
    assert sink.present(again(messages, job)) == {messages[0].id: result.reference}
    # Died before the rename: the draft is still there.
    (tmp_path / "out" / f".new-{result.reference}").write_bytes(taken)
    assert sink.present(again(messages, job)) == {}
    assert list((tmp_path / "out").iterdir()) == []


def test_withdrawals_have_files_of_their_own(tmp_path):
    sink = folder_sink(tmp_path)
    (result,) = sink.deliver([filled(_sectioned(sink), 1, action="withdraw")], NoJob())
    assert "-withdrawn-" in result.reference
    assert json.loads((tmp_path / "out" / result.reference).read_text()) == {"KEY": filled(_sectioned(sink), 1).key}


def test_a_folder_that_cannot_be_is_busy_and_told(tmp_path):
    (tmp_path / "out").write_text("a file")
    sink = folder_sink(tmp_path)
    assert "cannot be written to" in sink.check()[0]
    assert Counter(result.state for result in sink.deliver([filled(_sectioned(sink), 1)], NoJob())) == Counter(busy=1)


def test_options_that_are_none_are_refused(tmp_path):
    with pytest.raises(LineError, match="format"):
        folder_sink(tmp_path, format="xml")
