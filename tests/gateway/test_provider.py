"""Models run on what was asked for, and on nothing else unseen."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from factory.errors import ModelRefused, ProviderMissing
from factory.gateway.models.served_model import ServedModel
from factory.model.provider import ON_CPU, execution_providers
from tests.gateway.builders import Shop, gateway, onnx_model

ROOT = Path(__file__).resolve().parents[2]
ON_CUDA = ("CUDAExecutionProvider", "CPUExecutionProvider")


@pytest.fixture
def shop(tmp_path):
    made = Shop(tmp_path)
    made.release(onnx_model(), version=3)
    return made


def model_on(shop, *providers):
    released = shop.repository.load("toy.UA", shop.key.public_key())
    return ServedModel(released, lambda: released, providers)


def test_cuda_comes_first_where_it_is_there_and_the_processor_has_the_rest():
    assert execution_providers("cuda", ["TensorrtExecutionProvider", *ON_CUDA]) == ON_CUDA
    assert execution_providers("cpu", ON_CUDA) == ON_CPU


def test_without_it_one_is_told_what_to_install():
    with pytest.raises(ProviderMissing, match=r"has no CUDAExecutionProvider, only CPU.*pip install 'onnxruntime-gpu"):
        execution_providers("cuda", ON_CPU)


def test_a_session_is_built_with_the_providers_that_were_chosen(shop):
    other = "AzureExecutionProvider"  # in every ONNX Runtime beside the processor's
    model = model_on(shop, other, *ON_CPU)
    model.wake()
    assert model.metadata()["parameters"]["provider"] == other


def test_a_model_that_would_run_on_something_else_is_refused(shop, recwarn):
    with pytest.raises(ModelRefused, match="CUDAExecutionProvider"):
        model_on(shop, *ON_CUDA).wake()


def test_page_and_metadata_tell_what_models_run_on(shop):
    with gateway(shop) as client:
        assert client.get("/v2/models/toy.UA").json()["parameters"]["provider"] == "CPUExecutionProvider"
        assert "Models run on: CPUExecutionProvider." in client.get("/").text


def test_a_gateway_that_cannot_have_a_gpu_says_so_and_ends(shop):
    words = [sys.executable, "-c", "from factory.cli import main; main()", "serve", "--provider", "cuda"]
    ended = subprocess.run(
        [*words, "--port", "0", "--home", str(shop.home)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert re.match(r"ProviderMissing: --provider cuda: .*onnxruntime-gpu", ended.stderr)
