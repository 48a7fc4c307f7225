"""A trial under load: shares, copies, and not one request that is the worse for it."""

import asyncio
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import numpy as np
import onnx
import pytest
import tritonclient.grpc
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from factory.gateway.metrics.telemetry import Series, Telemetry
from factory.gateway.models.batching import OF_SHADOWS, Batches
from factory.gateway.models.entry import Entry
from factory.gateway.models.question import Predictions, Question
from factory.gateway.models.running_trial import RunningTrial, Share
from factory.gateway.models.served_model import ServedModel
from factory.gateway.models.trials import Trials
from factory.model.verdict import Verdict
from factory.monitoring.prediction_log.files import recorded, segments
from factory.release import Draft, Guard, Manifest, Terms, Trial
from factory.release.history import Event
from factory.release.rollback import roll_back
from tests.gateway.builders import (
    Shop,
    binary,
    eventually,
    expected,
    gateway,
    onnx_model,
    question,
    running,
    verdict,
)

MODEL, INFER = "toy.UA", "/v2/models/toy.UA/infer"
PREDICT = "/v1/lines/toy/sites/UA/predict"
CHAMPION, CHALLENGER = onnx_model(), onnx_model(bias=3.0)
ROW = [1.0, 2.0, 3.0]


@pytest.fixture
def shop(tmp_path):
    """A site that serves version 1."""
    made = Shop(tmp_path)
    made.release(CHAMPION, version=1)
    return made


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "predictions"


def try_out(shop, mode, share=1.0, content=CHALLENGER, version=2, guard=None, threshold=0.25):
    draft = Draft(
        content=content,
        line="toy",
        site="UA",
        version=version,
        verdict=verdict(content),
        signature=binary(),
        threshold=threshold,
        provenance={},
        example=(1.0, 2.0, 3.0),
        guard=guard or Guard(),
    )
    terms = Terms(mode=mode, share=share, by="lena", reason="see first")
    return shop.repository.try_out(draft, terms, key=shop.key)


def end(shop):
    shop.repository.end_trial(MODEL, by="lena", reason="enough", key=shop.key)


def ask(client, name=None, row=ROW, path=INFER):
    answer = client.post(path, json={**question([row]), **({"id": name} if name else {})})
    assert answer.status_code == 200, answer.text
    return answer.json()


def version(client, name=None):
    return int(ask(client, name)["model_version"])


def metric(client, name, **labels):
    """The sum of a metric's lines that have these labels."""
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    lines = [line for line in client.get("/metrics").text.splitlines() if line.startswith((f"{name}{{", f"{name} "))]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if all(one in line for one in wanted))


def serves(client):
    return client.get("/v2/models/toy.UA").json()["versions"][0]


def on_trial(client):
    return metric(client, "factory_trial_share", model=MODEL) > 0


def batches(folder, role=None):
    found = [batch for segment in segments(folder) for batch, _ in recorded(segment)]
    return [batch for batch in found if role in (None, batch.role)]


class Load:
    """Requests with ids without a pause from threads of their own, and every answer's status and version."""

    def __init__(self, client, threads=2):
        self.seen: list[tuple[int, str, str]] = []
        self._stop = threading.Event()
        self._url = client.base_url
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(threads)]

    def _ask(self, thread):
        with httpx.Client(base_url=self._url, timeout=120) as client:
            number = 0
            while not self._stop.is_set():
                number += 1
                name = f"{thread}-{number}"
                answer = client.post(INFER, json={**question([ROW]), "id": name})
                self.seen.append((answer.status_code, name, answer.json().get("model_version", "")))

    def more(self, count):
        enough = len(self.seen) + count
        eventually(lambda: len(self.seen) > enough)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()


def share(of, digest="ab" * 32):
    return Share(
        Trial(
            mode="canary",
            share=of,
            by="b",
            reason="r",
            model=MODEL,
            release=2,
            version=2,
            digest=digest,
            beside=1,
            since="2026-01-01T00:00:00+00:00",
        )
    )


@settings(max_examples=25)
@given(st.floats(0.01, 1.0), st.text(max_size=20), st.sampled_from(["{}-{}", "{}{}", "{}/{:06d}"]))
def test_of_many_ids_the_share_asked_for_is_in_it_whatever_they_look_like(wanted, prefix, form):
    one = share(wanted)
    count = 4_000
    found = sum(one.has(form.format(prefix, number)) for number in range(count)) / count
    assert abs(found - wanted) < 5 * np.sqrt(wanted * (1 - wanted) / count) + 1e-9


@given(st.text(), st.floats(0.01, 1.0), st.floats(0.01, 1.0))
def test_an_id_is_in_a_share_or_not_each_time_and_in_every_larger_one(name, one, other):
    assert share(one).has(name) == share(one).has(name)
    smaller, larger = sorted((one, other))
    assert share(larger).has(name) >= share(smaller).has(name)
    assert share(1.0).has(name)


def test_the_ids_of_one_trials_share_are_not_those_of_the_next():
    names = [str(number) for number in range(2_000)]
    first, second = ({name for name in names if share(0.1, digest * 32).has(name)} for digest in ("01", "02"))
    assert len(first & second) < 60  # 20 by chance, 200 if they were the same


def test_a_canary_answers_its_share_and_a_request_sent_again_gets_the_same_version(shop):
    trial = try_out(shop, "canary", share=0.3)
    with gateway(shop) as client:
        names = [f"order-{number}" for number in range(300)]
        first = {name: version(client, name) for name in names}
        assert first == {name: version(client, name) for name in names}
        assert first == {name: 2 if Share(trial).has(name) else 1 for name in names}
        assert 60 < Counter(first.values())[2] < 120
        one = next(name for name, answered in first.items() if answered == 2)
        assert ask(client, one)["outputs"][0]["data"][0] == pytest.approx(expected([ROW], bias=3.0)[0], abs=1e-6)
        business = client.post(PREDICT, json={"rows": [{"f0": 1, "f1": 2, "f2": 3}], "id": one}).json()
        assert business["model_version"] == 2
        other = next(name for name, answered in first.items() if answered == 1)
        assert (
            client.post(PREDICT, json={"rows": [{"f0": 1, "f1": 2, "f2": 3}], "id": other}).json()["model_version"] == 1
        )


def test_requests_without_an_id_are_shared_too(shop):
    try_out(shop, "canary", share=0.5)
    with gateway(shop) as client:
        assert 60 < Counter(version(client) for _ in range(200))[2] < 140


def test_who_names_a_version_is_answered_by_it(shop):
    try_out(shop, "canary")
    with gateway(shop) as client:
        assert version(client) == 2
        assert ask(client, path="/v2/models/toy.UA/versions/1/infer")["model_version"] == "1"
        assert client.get("/v2/models/toy.UA").json()["versions"] == ["1"]


@pytest.mark.parametrize("mode", ["canary", "shadow"])
def test_trials_begin_and_end_under_load_without_a_failed_request(shop, folder, mode):
    with gateway(shop, records=folder) as client:
        with Load(client) as load:
            load.more(20)
            trial = try_out(shop, mode, share=0.5)
            for _ in range(3):
                eventually(lambda: on_trial(client))
                load.more(60)
                end(shop)
                eventually(lambda: not on_trial(client))
                load.more(20)
                trial = restart(shop, mode)
            eventually(lambda: on_trial(client))
            load.more(40)
            shop.repository.promote_trial(trial, by="lena", reason="good", key=shop.key)
            eventually(lambda: serves(client) == "2")
            load.more(20)
        assert {status for status, _, _ in load.seen} == {200}
        assert {answered for _, _, answered in load.seen[-10:]} == {"2"}
        before = {name for _, name, answered in load.seen[: len(load.seen) // 2] if answered == "2"}
        assert bool(before) == (mode == "canary")
        assert all(Share(trial).has(name) for name in before)
        assert metric(client, "nv_inference_request_failure") == 0
    told = [name for batch in batches(folder) if batch.told for name in batch.ids]
    assert len(told) == len(set(told)) == len(load.seen)


def restart(shop, mode):
    terms = Terms(mode=mode, share=0.5, by="lena", reason="once more")
    return shop.repository.start_trial(MODEL, 2, terms, key=shop.key)


def test_a_shadow_is_asked_what_the_champion_answered_and_tells_nobody(shop, folder):
    try_out(shop, "shadow")
    with gateway(shop, records=folder) as client:
        told = [ask(client, row=[float(number), None, 1.0]) for number in range(20)]
        assert {answer["model_version"] for answer in told} == {"1"}
        eventually(lambda: metric(client, "nv_inference_request_success", role="shadow") == 20)
        assert metric(client, "nv_inference_request_success", role="champion") == 20
    rows = [[float(number), 0, 1.0] for number in range(20)]
    shadows = batches(folder, "shadow")
    assert [name for batch in shadows for name in batch.copies] == [a["parameters"]["prediction_id"] for a in told]
    assert {(batch.version, batch.told) for batch in shadows} == {(2, False)}
    np.testing.assert_allclose(
        np.concatenate([batch.outputs()[:, 0] for batch in shadows]), expected(rows, bias=3.0), atol=1e-6
    )
    assert all(batch.took_s >= batch.call_s > 0 for batch in batches(folder))


def test_a_busy_shadow_keeps_nobody_waiting_and_what_it_has_no_room_for_is_dropped_and_counted(shop):
    trial = try_out(shop, "shadow")
    half, free = OF_SHADOWS.max_waiting_rows // 2, threading.Event()
    rows = np.zeros(half * len(ROW), np.float32)

    async def ask(workers):
        predictions = Predictions(workers)
        predictions.shadows.submit(free.wait)  # its thread has something else to do
        champion = awake(shop.repository.load(MODEL, shop.key.public_key()))
        shadow = awake(shop.repository.tried(trial, shop.key.public_key()))
        series = Series(shadow.manifest, "shadow")
        batches = Batches(champion, Series(champion.manifest), predictions)
        both = RunningTrial(trial, shadow, series, batches, predictions)
        for _ in range(5):
            told = asyncio.get_running_loop().create_future()
            both.ask(Question(rows, half, told.set_result))
            assert (await asyncio.wait_for(told, 10)).model is champion
            await asyncio.sleep(0)
        waited = dict(series.counts)
        free.set()
        both.retire(predictions.sessions)
        await predictions.end()
        await asyncio.sleep(0.05)  # its last copy is counted on the loop
        return waited, series.counts

    with ThreadPoolExecutor(1) as workers:
        waited, after = asyncio.run(ask(workers))
    assert waited["nv_inference_request_success"] == 0
    assert waited["factory_copies_dropped_total"] == 2  # one is with the thread, two wait
    assert after["nv_inference_request_success"] >= 1
    assert after["nv_inference_request_failure"] == 0


def awake(released):
    model = ServedModel(released, lambda: released)
    model.wake()
    return model


def failing_model() -> bytes:
    """CHALLENGER, but for a first feature above 5 it has no number."""
    model = onnx.load_model_from_string(CHALLENGER)
    graph = model.graph
    graph.initializer.extend(
        [
            numpy_helper.from_array(np.array([0], np.int64), "first"),
            numpy_helper.from_array(np.array(5.0, np.float32), "five"),
            numpy_helper.from_array(np.array(np.nan, np.float32), "nan"),
        ]
    )
    last = next(node for node in graph.node if node.op_type == "Sigmoid")
    last.output[0] = "healthy"
    graph.node.extend(
        [
            helper.make_node("Gather", ["filled", "first"], ["f0"], axis=1),
            helper.make_node("Greater", ["f0", "five"], ["above"]),
            helper.make_node("Where", ["above", "nan", "healthy"], ["probability"]),
        ]
    )
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("mode", ["canary", "shadow"])
def test_where_a_trial_fails_the_champion_answers_and_the_failure_is_counted_and_on_record(shop, folder, mode):
    try_out(shop, mode, content=failing_model())
    with gateway(shop, records=folder) as client:
        assert version(client) == (2 if mode == "canary" else 1)
        answer = ask(client, row=[9.0, 0.0, 0.0])
        assert answer["model_version"] == "1"
        assert answer["outputs"][0]["data"][0] == pytest.approx(expected([[9, 0, 0]])[0], abs=1e-6)
        eventually(lambda: metric(client, "nv_inference_request_failure", role=mode) == 1)
        assert metric(client, "nv_inference_request_failure", role="champion") == 0
    (failed,) = [batch for batch in batches(folder, mode) if batch.error]
    assert "has no probability for these values" in failed.error
    assert list(failed.copies) == [answer["parameters"]["prediction_id"]]
    assert failed.told is False
    assert 0 <= failed.took_s < 60
    assert failed.inputs().size == failed.outputs().size == 0


def test_a_question_that_nobody_can_answer_is_no_failure_of_the_canary(shop, folder):
    try_out(shop, "canary")
    with gateway(shop, records=folder) as client:
        assert client.post(INFER, json=question([[1e39, 0, 0]])).status_code == 400
        assert client.post(INFER, json=question([[1.0, 2.0]])).status_code == 400
        assert metric(client, "nv_inference_request_failure", role="canary") == 0
    assert batches(folder) == []


@pytest.mark.parametrize("content", [b"no model", onnx_model((1.0, 2.0)), onnx_model(bias=float("nan"))])
def test_a_trial_that_cannot_be_loaded_leaves_the_champion_serving(shop, content, caplog):
    with gateway(shop) as client:
        with Load(client) as load:
            load.more(20)
            try_out(shop, "canary", content=content)
            eventually(lambda: metric(client, "factory_trial_refused_total", model=MODEL) == 1)
            load.more(50)
        assert {(status, answered) for status, _, answered in load.seen} == {(200, "1")}
        assert metric(client, "factory_trial_refused_total") == 1  # once, though it was looked at many times
        assert "its trial was refused" in client.get("/").text
        end(shop)
        eventually(lambda: "its trial was refused" not in client.get("/").text)


def test_a_trial_whose_file_was_changed_is_not_asked(shop):
    try_out(shop, "canary")
    file = shop.home / "models" / ".releases" / MODEL / "2" / "2" / "model.onnx"
    file.unlink()
    file.write_bytes(onnx_model(bias=9.0))
    with gateway(shop) as client:
        assert metric(client, "factory_trial_refused_total", model=MODEL) == 1
        assert {version(client) for _ in range(20)} == {1}


def test_a_release_without_a_passing_verdict_is_not_asked_though_the_trial_is_signed(shop):
    """Whoever has the key and writes a trial by hand meets the rule where the gateway loads."""
    trial = try_out(shop, "canary")
    place = shop.home / "models" / ".releases" / MODEL / "2" / "manifest.json"
    manifest = Manifest.from_json(place.read_bytes())
    refused = Verdict(**{**manifest.verdict.to_dict(), "passed": False, "reasons": ("too late",)})
    place.unlink()
    place.write_bytes(replace(manifest, verdict=refused).signed(shop.key).to_json())
    shop.repository.put_trial(trial)
    with gateway(shop) as client:
        assert metric(client, "factory_trial_refused_total", model=MODEL) == 1
        assert version(client) == 1


def test_a_rollback_and_a_new_release_end_the_trial_without_a_failed_request(shop):
    shop.release(onnx_model(bias=0.5), version=5)
    with gateway(shop) as client:
        with Load(client) as load:
            try_out(shop, "canary")
            eventually(lambda: on_trial(client))
            load.more(20)
            roll_back(shop.repository, MODEL, to=None, by="otto", reason="late", key=shop.key)
            eventually(lambda: serves(client) == "1" and not on_trial(client))
            load.more(30)
            assert {answered for _, _, answered in load.seen[-20:]} == {"1"}
            allowance = Event(kind="allowance", actor="otto", reason="mended")
            shop.repository.site_history.append(MODEL, allowance, shop.key)
            try_out(shop, "canary")
            eventually(lambda: on_trial(client))
            shop.release(onnx_model(bias=0.25), version=7)
            eventually(lambda: serves(client) == "7" and not on_trial(client))
            load.more(30)
            assert {answered for _, _, answered in load.seen[-20:]} == {"7"}
        assert {status for status, _, _ in load.seen} == {200}


def test_a_trial_runs_beside_the_release_that_it_names_and_beside_no_other(shop):
    """The gateway may still serve the release before, for the moment until it looks again."""
    shop.release(onnx_model(bias=0.5), version=5)
    try_out(shop, "canary")
    key = shop.key.public_key()

    async def follow(workers):
        predictions, telemetry = Predictions(workers), Telemetry()
        trials = Trials(shop.repository, key, telemetry, predictions)
        models = [awake(shop.repository.released(MODEL, sequence, key)) for sequence in (1, 2)]
        entries = [Entry(model, telemetry.of(model.manifest), predictions) for model in models]
        for entry in entries:
            await trials.follow({MODEL: entry})
        return [entry.trial for entry in entries]

    with ThreadPoolExecutor(1) as workers:
        before, now = asyncio.run(follow(workers))
    assert before is None
    assert now.trial.beside == 2


def test_over_grpc_too_a_request_sent_again_gets_the_same_version(shop):
    trial = try_out(shop, "canary", share=0.5)
    tensor = tritonclient.grpc.InferInput("features", [1, 3], "FP32")
    tensor.set_data_from_numpy(np.array([ROW], np.float32))
    with running(shop, grpc_port=0) as server:
        client = tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{server.grpc_port}")
        names = [f"order-{number}" for number in range(30)]
        answers = [client.infer(MODEL, [tensor], request_id=name).get_response() for name in names]
        named = client.infer(MODEL, [tensor], model_version="1", request_id=names[0]).get_response()
        client.close()
        client.close = lambda: None  # its __del__ closes once more
    assert [answer.model_version for answer in answers] == [str(1 + Share(trial).has(name)) for name in names]
    assert {answer.model_version for answer in answers} == {"1", "2"}
    assert named.model_version == "1"


def test_a_repository_that_is_away_ends_no_trial(shop):
    try_out(shop, "canary")
    with gateway(shop) as client:
        models = shop.home / "models"
        models.rename(shop.home / "away")
        stop = time.monotonic() + 0.3  # six looks at the repository
        while time.monotonic() < stop:
            assert version(client) == 2
        (shop.home / "away").rename(models)


def test_a_row_beyond_what_the_trial_saw_is_judged_by_the_trials_own_guard(shop):
    try_out(shop, "canary", guard=Guard(ranges={"f0": (0.0, 0.5)}, outside="abstain"))
    with gateway(shop) as client:
        answer = ask(client)
        assert answer["model_version"] == "2"
        assert answer["parameters"]["abstained"] == "0"
        assert metric(client, "factory_rows_abstained_total", role="canary") == 1


def test_the_page_tells_who_wanted_the_trial_and_why(shop):
    try_out(shop, "canary", share=0.3)
    with gateway(shop) as client:
        page = client.get("/").text
    assert "canary of 0.3 of requests, by lena: see first" in page
    assert "Trials: 1." in page
