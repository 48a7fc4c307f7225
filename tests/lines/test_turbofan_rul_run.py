"""The turbofan line as a person runs it, on the published fleets: figures in the status, pages, a served interval."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from factory.model.session import onnx_answer
from factory.release import ModelRepository
from factory.release.signing import public_key

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / (os.environ.get("FACTORY_DATA") or "../shared/data")
FACTORY = Path(sys.executable).with_name("factory")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (DATA / "cmapss").is_dir(), reason=f"no C-MAPSS files in {DATA / 'cmapss'}; see README"),
]


def typed(home, *words):
    """What a person gets who types this: exit code and output."""
    environment = {**os.environ, "FACTORY_DATA": str(DATA)}
    done = subprocess.run(
        [FACTORY, *words, "--home", str(home)], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout


def test_the_published_test_engines_are_judged_and_what_passed_answers_with_an_interval(tmp_path):
    code, told = typed(tmp_path, "run", "turbofan_rul")
    assert code == 0, told
    line = json.loads(typed(tmp_path, "status", "--json")[1])["lines"]["turbofan_rul"]
    for site, state in line["sites"].items():
        figures = state["verdict"]["figures"]
        assert figures["rows"] == 100
        assert 9 < figures["rmse"] < 14, site  # below 9 look for the leak
        assert 100 < figures["nasa_score"] < 500
        assert 0.75 < figures["coverage"] <= 1
    assert Path(line["page"]).is_file()
    served = [site for site, state in line["sites"].items() if state["serving"]]
    assert served
    repository = ModelRepository(tmp_path / "models")
    for site in served:
        released = repository.load(f"turbofan_rul.{site}", public_key(tmp_path / "keys" / "release.pub"))
        signature = released.manifest.model_signature
        example = np.array(released.manifest.example, np.float32).reshape(1, *signature.input_shape)
        estimate, low, high = onnx_answer(released.content, example)[0]
        assert 0 <= low <= estimate <= high <= 125
    assert "Nothing changed" in typed(tmp_path, "run", "turbofan_rul")[1]
