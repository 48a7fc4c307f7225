import pytest
import torch

from factory.training.loop import train_base
from tests.training.builders import SMALL, TASK, pooled, rows


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def train():
    return pooled(*(rows(site, count=600, seed=number) for number, site in enumerate("ABC")))


@pytest.fixture(scope="session")
def validation():
    return pooled(*(rows(site, count=250, seed=50 + number) for number, site in enumerate("ABC")))


@pytest.fixture(scope="session")
def base(train, validation):
    return train_base(train, validation, SMALL, task=TASK, device="cpu", checkpoint=None, report=lambda _: None)
