"""What reaches a model in one turn of the event loop is one call of it; a failure stays within its own batch."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

import numpy as np
import pytest

from factory.gateway.metrics.telemetry import Series
from factory.gateway.models.batching import OF_CLIENTS, Batches
from factory.gateway.models.question import Answered, Beside, Predictions, Question
from factory.gateway.models.served_model import ServedModel
from factory.gateway.refusal import RequestRefused
from factory.release.triton import MAX_BATCH
from tests.gateway.builders import Shop, expected, onnx_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    shop = Shop(tmp_path_factory.mktemp("home"))
    shop.release(onnx_model())
    released = shop.repository.load("toy.UA", shop.key.public_key())
    made = ServedModel(released, lambda: released)
    made.wake()
    return made


def told(model, asked, *, slow=False):
    """What each question (values, rows, what is beside) was told, all in one turn, and how many calls that was."""

    async def ask():
        with ThreadPoolExecutor(1) as workers:
            batches = Batches(model, series, Predictions(workers))
            waiting = [asyncio.get_running_loop().create_future() for _ in asked]
            for (values, rows, *beside), one in zip(asked, waiting, strict=True):
                batches.ask(Question(values, rows, one.set_result, beside=beside[0] if beside else None))
            return await asyncio.gather(*waiting)

    series, row_s = Series(model.manifest), model.row_s
    model.row_s = 1.0 if slow else row_s
    try:
        return asyncio.run(ask()), series.counts["nv_inference_exec_count"]
    finally:
        model.row_s = row_s


@pytest.mark.parametrize("slow", [False, True], ids=["on the loop", "in a thread"])
def test_questions_of_one_turn_are_one_call_and_each_gets_its_own_rows(model, slow):
    rows = np.random.default_rng(7).normal(size=(40, 3)).astype(np.float32)
    asked = [(rows[n].tolist(), 1) for n in range(10)] + [(rows[10:].ravel(), 30)]
    answers, calls = told(model, asked, slow=slow)
    found = np.concatenate([answer.numbers[:, 0] for answer in answers])
    np.testing.assert_allclose(found, expected(rows), atol=1e-6)
    assert calls == 1
    assert len({answer.prediction for answer in answers}) == 11


@pytest.mark.parametrize("slow", [False, True], ids=["on the loop", "in a thread"])
def test_rows_beside_questions_are_in_the_same_call_and_each_question_gets_the_numbers_of_its_own(model, slow):
    rows = np.random.default_rng(7).normal(size=(9, 3)).astype(np.float32)
    first, second = beside(rows[4:7]), beside(rows[7:])
    answers, calls = told(
        model, [(rows[:1], 1, first), (rows[1].tolist(), 1), (rows[2:4].ravel(), 2, second)], slow=slow
    )
    found = np.concatenate([answer.numbers for answer in answers] + [first.numbers, second.numbers])
    np.testing.assert_allclose(found[:, 0], expected(rows), atol=1e-6)
    assert calls == 1


class Kept:
    """Records that keep each call, and when it was answered."""

    def __init__(self) -> None:
        self.calls = []

    def add(self, call):
        self.calls.append((call, perf_counter()))


@pytest.mark.parametrize(("role", "waited"), [("champion", True), ("canary", True), ("shadow", False)])
def test_a_shadow_takes_as_long_as_its_model_and_the_others_as_long_as_clients_wait(model, role, waited):
    async def ask():
        with ThreadPoolExecutor(1) as workers:
            batches = Batches(model, series, Predictions(workers, kept), role)
            done = asyncio.get_running_loop().create_future()
            batches.ask(Question([1.0, 2.0, 3.0], 1, done.set_result, asked=perf_counter() - 100))
            await done

    series, kept = Series(model.manifest, role), Kept()
    asyncio.run(ask())
    ((call, at),) = kept.calls
    assert 0 < call.took_s < 100
    assert (at - call.questions[0].asked > 99) is waited
    assert (series.numbers.durations.total > 99) is waited


def test_rows_beside_questions_take_their_part_of_a_call(model):
    asked = [([1.0, 2.0, 3.0], 1, beside(np.zeros((MAX_BATCH // 2, 3), np.float32))) for _ in range(2)]
    assert told(model, asked)[1] == 2


def beside(rows):
    return Beside(rows, np.empty(0, np.float32))


def test_more_rows_than_one_call_takes_are_several_calls(model):
    answers, calls = told(model, [(np.zeros(MAX_BATCH * 3, np.float32), MAX_BATCH), ([1.0, 2.0, 3.0], 1)])
    assert [len(answer.numbers) for answer in answers] == [MAX_BATCH, 1]
    assert calls == 2


@pytest.mark.parametrize("slow", [False, True], ids=["on the loop", "in a thread"])
def test_a_failure_is_told_to_its_own_batch_and_the_next_one_is_answered(model, slow, caplog):
    broken = (["no number"] * 3 * MAX_BATCH, MAX_BATCH)
    (failed, answered), _ = told(model, [broken, ([1.0, 2.0, 3.0], 1)], slow=slow)
    assert isinstance(failed, RequestRefused)
    assert failed.status == 500
    assert "no number" not in str(failed)
    assert isinstance(answered, Answered)
    assert "toy.UA failed on 1 questions" in caplog.text


def test_who_cannot_hear_its_answer_keeps_no_other_from_hearing_its_own(model, caplog):
    heard = []

    def deaf(result):
        heard.append(type(result))
        raise RuntimeError("not listening")

    async def ask():
        with ThreadPoolExecutor(1) as workers:
            batches, waiting = Batches(model, Series(model.manifest), Predictions(workers)), asyncio.Queue()
            for done in (waiting.put_nowait, deaf, waiting.put_nowait):
                batches.ask(Question([1.0, 2.0, 3.0], 1, done))
            return [await asyncio.wait_for(waiting.get(), 5) for _ in range(2)], waiting.empty()

    answers, no_more = asyncio.run(ask())
    assert [type(answer) for answer in answers] == [Answered, Answered]
    assert no_more
    assert heard == [Answered, RequestRefused]
    assert "could not be given" in caplog.text


def test_more_rows_than_may_wait_are_refused_with_when_to_come_again(model):
    full = [(np.zeros(MAX_BATCH * 3, np.float32), MAX_BATCH)] * (OF_CLIENTS.max_waiting_rows // MAX_BATCH)
    with pytest.raises(RequestRefused, match="wait for this model") as refused:
        told(model, [*full, ([1.0, 2.0, 3.0], 1)])
    assert refused.value.status == 503
    assert dict(refused.value.headers)[b"retry-after"] == b"1"
