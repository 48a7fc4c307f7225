"""What a worker hears of its peers: an answer, silence from one that is there, or nothing from one that is gone."""

import asyncio
import socket
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import uvloop

from factory.gateway.metrics.counts import Counted
from factory.gateway.processes.all_workers import PeerProcess
from factory.gateway.processes.peers import SOCKET, Ask, Done, Peers
from factory.gateway.processes.worker_config import Membership
from factory.gateway.refusal import RequestRefused

LOAD = Ask("load", "toy.UA")


def run(coroutine):
    """Run it on an event loop as a worker has it."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(coroutine)


def worker(folder, number):
    return Membership(number=number, workers=2, folder=folder)


def asked(folder, within_s=5.0):
    """What the first worker hears when it asks."""
    return Peers(worker(folder, 1)).ask(LOAD, Done, within_s)


async def asked_while(folder, answer, within_s=5.0):
    """What the first worker hears while the second one answers so."""
    async with Peers(worker(folder, 2)).answered(answer):
        return await asked(folder, within_s)


async def done(_):
    return Done()


async def raising(_):
    raise OSError(28, "No space left on device")


async def in_no_hurry(_):
    await asyncio.sleep(1)


async def of_another_kind(_):
    return ["no", "answer"]


def test_a_sibling_that_answers_is_heard(tmp_path):
    answers = run(asked_while(tmp_path, done))
    assert (answers.answered, answers.silent) == ({2: Done()}, [])


@pytest.mark.parametrize("answer", [raising, of_another_kind])
def test_a_sibling_that_fails_to_answer_is_silent_and_not_gone(tmp_path, answer):
    answers = run(asked_while(tmp_path, answer))
    assert (answers.answered, answers.silent) == ({}, [2])


def test_a_sibling_that_does_not_answer_in_time_is_silent(tmp_path):
    answers = run(asked_while(tmp_path, in_no_hurry, within_s=0.1))
    assert (answers.answered, answers.silent) == ({}, [2])


def test_where_there_is_no_socket_the_sibling_is_gone(tmp_path):
    answers = run(asked(tmp_path))
    assert (answers.answered, answers.silent) == ({}, [])


@contextmanager
def left_socket(folder):
    """The socket of a worker that hears nobody."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(worker(folder, 2).file(SOCKET)))
        yield left


def test_where_nobody_listens_any_more_the_sibling_is_gone(tmp_path):
    with left_socket(tmp_path):
        answers = run(asked(tmp_path))
    assert (answers.answered, answers.silent) == ({}, [])


def test_a_sibling_that_is_there_and_takes_no_more_questions_is_silent(tmp_path):
    with left_socket(tmp_path) as busy, socket.socket(socket.AF_UNIX) as waiting:
        busy.listen(0)
        waiting.connect(busy.getsockname())
        answers = run(asked(tmp_path))
    assert (answers.answered, answers.silent) == ({}, [2])


def test_a_sibling_that_dies_with_the_question_unread_is_gone(tmp_path):
    async def asked_of_one_that_dies(dying):
        asking = asyncio.ensure_future(asked(tmp_path))
        await asyncio.sleep(0.2)
        dying.close()
        return await asking

    with left_socket(tmp_path) as dying:
        dying.listen()
        answers = run(asked_of_one_that_dies(dying))
    assert (answers.answered, answers.silent) == ({}, [])


class Own:
    """A worker's own part, which does what it is told and has answered one request with an error."""

    catalogue = SimpleNamespace(unloaded=set())

    async def load(self, model):
        return None

    async def unload(self, model):
        return None

    def count(self):
        return Counted(workers=1, errors={500: 1})


async def beside(folder, answer, ask):
    """What the first worker answers while the second one, which had counted before, answers it so."""
    async with PeerProcess(Own(), worker(folder, 2)).joined():
        pass
    first = PeerProcess(Own(), worker(folder, 1))
    async with first.joined(), Peers(worker(folder, 2)).answered(answer):
        return await ask(first)


def test_what_all_workers_did_is_done(tmp_path):
    assert run(beside(tmp_path, done, lambda first: first.load("toy.UA"))) is None


@pytest.mark.parametrize("what", ["load", "unload"])
def test_what_one_worker_failed_to_do_is_not_told_as_done(tmp_path, what):
    with pytest.raises(RequestRefused, match=r"workers \[2\] have not said that they did it") as refused:
        run(beside(tmp_path, raising, lambda first: getattr(first, what)("toy.UA")))
    assert refused.value.status == 503


def test_of_a_worker_that_fails_to_tell_its_counts_those_count_that_it_told_last(tmp_path, caplog):
    assert run(beside(tmp_path, raising, PeerProcess.counted)) == Counted(workers=1, errors={500: 2})
    assert "workers [2] did not tell their counts" in caplog.text
