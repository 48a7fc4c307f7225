"""What training never saw: told, or not answered; over HTTP and gRPC alike."""

import numpy as np
import pytest
import tritonclient.grpc

from factory.release import Guard
from tests.gateway.builders import Shop, expected, gateway, onnx_model, question, running, sums_model
from tests.gateway.test_gateway import LIFE

RANGES = {"f0": (0.0, 1.0), "f2": (-5.0, 5.0)}
ROWS = [[0.5, 99, 5.0], [-0.25, 1, 1], [None, None, 7.5]]
REASONS = "row 1: f0 is -0.25, training saw 0 to 1; row 2: f2 is 7.5, training saw -5 to 5"


def ask(client, rows=ROWS, model="toy.UA", **changed):
    answer = client.post(f"/v2/models/{model}/infer", json=question(rows, **changed))
    assert answer.status_code == 200
    return answer.json()


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    made = Shop(tmp_path_factory.mktemp("home"))
    made.release(onnx_model(), guard=Guard(ranges=RANGES))
    made.release(onnx_model(), site="DL", guard=Guard(ranges=RANGES, outside="abstain"))
    return made


@pytest.fixture(scope="module")
def client(shop):
    with gateway(shop) as made:
        yield made


def test_rows_outside_are_answered_and_told_of(client):
    answer = ask(client)
    known = [[0 if value is None else value for value in row] for row in ROWS]
    np.testing.assert_allclose(answer["outputs"][0]["data"], expected(known), atol=1e-6)
    assert answer["parameters"]["outside"] == REASONS
    assert "abstained" not in answer["parameters"]


def test_where_the_line_says_so_rows_outside_are_not_answered_and_the_others_are(client):
    answer = ask(client, model="toy.DL")
    first, *others = answer["outputs"][0]["data"]
    assert first == pytest.approx(expected(ROWS[:1])[0], abs=1e-6)
    assert others == [None, None]
    assert answer["parameters"]["abstained"] == "1,2"
    assert answer["parameters"]["outside"] == REASONS


@pytest.mark.parametrize("row", [[0.0, 1e9, -5.0], [1.0, -1e9, 5.0], [None, None, None]])
def test_the_ends_of_a_range_unknown_values_and_features_without_a_range_are_inside(client, row):
    assert "outside" not in ask(client, [row])["parameters"]


def test_of_many_rows_outside_only_some_are_told(client):
    told = ask(client, [[9, 0, 0]] * 500)["parameters"]["outside"]
    assert told.count("row ") == 20


def test_every_step_of_a_sequence_is_looked_at(tmp_path):
    shop = Shop(tmp_path)
    guard = Guard(ranges={"f1": (0.0, 10.0)}, outside="abstain")
    shop.release(sums_model(3, 2, 3, "life"), signature=LIFE, guard=guard)
    with gateway(shop) as client:
        rows = [[[1, 2], [3, 4], [5, 6]], [[1, 2], [3, 40], [5, 6]]]
        answer = ask(client, rows, shape=[2, 3, 2])
    assert answer["outputs"][0]["data"] == [21, 42, 63, None, None, None]
    assert answer["parameters"]["outside"] == "row 1: f1 is 40, training saw 0 to 10"


def test_what_was_outside_is_counted(client):
    def counted(name, site):
        lines = client.get("/metrics").text.splitlines()
        return sum(float(line.split()[1]) for line in lines if line.startswith(name) and f'site="{site}"' in line)

    before = counted("factory_rows_outside_total", "UA"), counted("factory_rows_abstained_total", "DL")
    ask(client)
    ask(client, model="toy.DL")
    after = counted("factory_rows_outside_total", "UA"), counted("factory_rows_abstained_total", "DL")
    assert (after[0] - before[0], after[1] - before[1]) == (2, 2)


def test_grpc_says_the_same(shop):
    rows = np.array([[-0.25, 1, 1]], np.float32)
    tensor = tritonclient.grpc.InferInput("features", [1, 3], "FP32").set_data_from_numpy(rows)
    with (
        running(shop, grpc_port=0) as server,
        tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{server.grpc_port}") as client,
    ):
        answer = client.infer("toy.DL", [tensor])
    assert np.isnan(answer.as_numpy("probability")).all()
    parameters = answer.get_response().parameters
    assert parameters["abstained"].string_param == "0"
    assert parameters["outside"].string_param == "row 0: f0 is -0.25, training saw 0 to 1"
