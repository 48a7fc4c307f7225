"""Whatever happens to the process, predictions are on the disk; whatever happens to the disk, requests are answered."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import numpy as np
import pytest

from factory.gateway.access.key_file import add_key
from factory.gateway.limits import RecordLimits
from factory.gateway.models.prediction_writer import RecordWriter
from factory.gateway.models.question import Call, Question
from factory.gateway.models.served_model import ServedModel
from factory.monitoring.prediction_log.files import MAGIC, complete_leftovers, recorded, segments
from factory.release import Guard
from tests.gateway.builders import Shop, eventually, expected, gateway, onnx_model, question

ROOT = Path(__file__).resolve().parents[2]
INFER = "/v2/models/toy.UA/infer"


@pytest.fixture
def shop(tmp_path):
    made = Shop(tmp_path)
    made.release(onnx_model(), version=3)
    return made


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "predictions"


def batches(folder):
    return [batch for segment in segments(folder) for batch, _ in recorded(segment)]


def names(folder):
    return [name for batch in batches(folder) for name in batch.ids]


def ask(client, rows, **headers):
    answer = client.post(INFER, json=question(rows), headers=headers)
    assert answer.status_code == 200
    return answer.json()["parameters"]["prediction_id"]


def metric(client, name):
    return next(float(line.split()[1]) for line in client.get("/metrics").text.splitlines() if line.startswith(name))


def test_a_prediction_is_recorded_with_who_gave_it_who_asked_and_all_its_numbers(shop, folder, tmp_path):
    keys = tmp_path / "keys" / "gateway.json"
    secret = add_key(keys, "erp")
    rows = [[1.0, None, 3.0], [2.0, 2.0, 2.0]]
    with gateway(shop, records=folder, keys=keys) as client:
        name = ask(client, rows, **{"x-api-key": secret})
    (batch,) = batches(folder)
    digest = shop.repository.current("toy.UA").digest
    assert (batch.line, batch.site, batch.version, batch.digest) == ("toy", "UA", 3, digest)
    assert (list(batch.ids), list(batch.keys), list(batch.rows)) == ([name], ["erp"], [2])
    np.testing.assert_array_equal(batch.inputs(), np.array([[1, np.nan, 3], [2, 2, 2]], np.float32))
    np.testing.assert_allclose(batch.outputs()[:, 0], expected([[1, 0, 3], [2, 2, 2]]), atol=1e-6)
    assert [place.suffix for place in segments(folder)] == [".log"]


def test_who_was_refused_is_in_no_record_and_a_row_not_answered_has_no_number(shop, folder):
    shop.release(onnx_model(), version=4, guard=Guard(ranges={"f0": (0.0, 1.0)}, outside="abstain"))
    with gateway(shop, records=folder) as client:
        name = ask(client, [[0.5, 1, 1], [9, 1, 1]])
        assert client.post(INFER, json=question([[1e39, 0, 0]])).status_code == 400
    (batch,) = batches(folder)
    assert list(batch.ids) == [name]
    assert np.isnan(batch.outputs()[:, 0]).tolist() == [False, True]


def test_a_killed_gateway_loses_no_prediction_that_is_older_than_a_moment(shop, folder):
    code = (
        "import sys; from pathlib import Path; from factory.gateway.processes.server import Server, Settings; "
        "s = Server(Path(sys.argv[1]), Path(sys.argv[2]), Settings(port=0, records=Path(sys.argv[3]))); "
        "tell = lambda: (s.started.wait(), print(s.port, flush=True)); "
        "import threading; threading.Thread(target=tell).start(); s.run()"
    )
    words = [sys.executable, "-c", code, str(shop.home / "models"), str(shop.public), str(folder)]
    first = answered_and_killed(words, folder)
    both = answered_and_killed(words, folder)
    assert both[:100] == first
    assert len(set(both)) == 200
    complete_leftovers(folder)
    assert [place.suffix for place in segments(folder)] == [".log", ".log"]


def answered_and_killed(words, folder):
    """Ask a hundred times, kill the gateway, and return the names of all predictions in the records."""
    before = names(folder)
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        address = f"http://127.0.0.1:{process.stdout.readline().strip()}"
        with httpx.Client(base_url=address) as client:
            answered = [ask(client, [[1, 2, 3]]) for _ in range(100)]
            eventually(lambda: names(folder) == before + answered)
            process.send_signal(signal.SIGKILL)
    return names(folder)


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_batch_cut_off_in_the_middle_is_passed_over_and_those_before_it_are_read(shop, folder, cut):
    with gateway(shop, records=folder) as client:
        answered = []
        for number in range(3):
            answered.append(ask(client, [[1, 2, 3]]))
            eventually(lambda number=number: metric(client, "factory_records_written_total") == number + 1)
    (segment,) = segments(folder)
    segment.write_bytes(segment.read_bytes()[:-cut])
    assert names(folder) == answered[:2]
    flipped = bytearray(segment.read_bytes())
    flipped[len(MAGIC) + 12] ^= 1
    segment.write_bytes(flipped)
    assert names(folder) == []


def test_reading_goes_on_where_it_ended(shop, folder):
    with gateway(shop, records=folder) as client:
        first = ask(client, [[1, 2, 3]])
        eventually(lambda: names(folder) == [first])
        (segment,) = segments(folder)
        ((_, place),) = recorded(segment)
        assert list(recorded(segment, place)) == []
        second = ask(client, [[1, 2, 3]])
        eventually(lambda: [list(batch.ids) for batch, _ in recorded(segment, place)] == [[second]])


def test_segments_are_small_and_all_of_them_are_read(shop, folder):
    limits = RecordLimits(segment_bytes=500)
    with gateway(shop, records=folder, record_limits=limits) as client:
        answered = []
        for _ in range(12):
            answered.append(ask(client, [[1, 2, 3]]))
            eventually(lambda: names(folder) == answered)
    assert len(segments(folder)) > 2
    assert names(folder) == answered


def test_several_processes_record_in_one_folder_and_none_is_in_the_way_of_another(shop, folder, caplog):
    """As workers of one gateway do; each begins a segment, and looks for leftovers, every few milliseconds."""
    limits = RecordLimits(segment_bytes=1, write_every_s=0.0005)
    released = shop.repository.load("toy.UA", shop.key.public_key())
    model, rows = ServedModel(released, lambda: released), np.ones((1, 3), np.float32)
    writers = [RecordWriter(folder, limits) for _ in range(4)]
    for number in range(100):
        for place, writer in enumerate(writers):
            question = Question([1.0, 1.0, 1.0], 1, lambda _: None)
            writer.add(Call(model, "champion", [question], [f"{place}-{number}"], rows, rows[:, :1]))
        time.sleep(0.001)
    for writer in writers:
        writer.close()
    assert sum(writer.written for writer in writers) == 400
    assert sorted(names(folder)) == sorted(f"{place}-{number}" for place in range(4) for number in range(100))
    assert not caplog.records
    assert {place.suffix for place in folder.iterdir()} == {".log"}


def test_with_the_folder_gone_one_is_answered_and_what_waited_is_written_when_it_is_back(shop, folder):
    limits = RecordLimits(retry_after_s=0.05)
    with gateway(shop, records=folder, record_limits=limits) as client:
        ask(client, [[1, 2, 3]])
        eventually(lambda: len(names(folder)) == 1)
        shutil.rmtree(folder)
        folder.write_text("in the way")
        waited = [ask(client, [[1, 2, 3]]) for _ in range(20)]
        eventually(lambda: metric(client, "factory_records_failing") == 1)
        waited += [ask(client, [[1, 2, 3]]) for _ in range(20)]
        folder.unlink()
        eventually(lambda: names(folder) == waited)
        assert metric(client, "factory_records_failing") == 0
        assert metric(client, "factory_records_dropped_total") == 0


def test_when_nothing_more_can_wait_predictions_are_dropped_counted_and_answered(shop, folder, caplog):
    folder.write_text("in the way")
    limits = RecordLimits(queue_bytes=2000, retry_after_s=0.05)
    with gateway(shop, records=folder, record_limits=limits) as client:
        for _ in range(50):
            ask(client, [[1, 2, 3]])
        dropped = metric(client, "factory_records_dropped_total")
        assert 30 <= dropped < 50
        folder.unlink()
        eventually(lambda: len(names(folder)) == 50 - dropped)
    assert len([record for record in caplog.records if "cannot be recorded" in record.message]) == 1


def test_a_full_disk_is_a_folder_that_takes_no_more(shop, folder):
    limits = RecordLimits(folder_bytes=400, segment_bytes=100, retry_after_s=0.05)
    with gateway(shop, records=folder, record_limits=limits) as client:
        for number in range(30):
            ask(client, [[1, 2, 3]])
            eventually(
                lambda number=number: (
                    metric(client, "factory_records_failing") == 1
                    or metric(client, "factory_records_written_total") == number + 1
                )
            )
        assert metric(client, "factory_records_failing") == 1
        for place in segments(folder):
            place.unlink()
        eventually(lambda: metric(client, "factory_records_failing") == 0)
        assert metric(client, "factory_records_written_total") == 30


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mount"), reason="only root may mount a small disk")
def test_a_disk_without_room_keeps_whole_batches_and_no_request_fails(shop, folder):
    folder.mkdir()
    words = [shutil.which("mount"), "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if subprocess.run(words, check=False).returncode:
        pytest.skip("this machine mounts nothing")
    try:
        with gateway(shop, records=folder, record_limits=RecordLimits(retry_after_s=0.05)) as client:
            answered = [ask(client, [[1.0, 2.0, 3.0]] * 200) for _ in range(100)]
            eventually(lambda: metric(client, "factory_records_failing") == 1)
        kept = names(folder)
        assert kept == answered[: len(kept)]
        assert 0 < len(kept) < 100
        assert len(segments(folder)) <= 2
    finally:
        subprocess.run([shutil.which("umount"), str(folder)], check=True)
