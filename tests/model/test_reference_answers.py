import numpy as np
import pytest

from factory.errors import ModelRefused
from factory.model.reference_answers import ReferenceAnswers
from tests.gateway.builders import onnx_model

ROWS = np.arange(12, dtype=np.float32).reshape(4, 3)


def reference(answers=None):
    return ReferenceAnswers(rows=ROWS, answers=np.full((4, 1), 0.5, np.float32) if answers is None else answers)


def test_they_survive_their_file_byte_for_byte():
    content = reference().to_bytes()
    again = ReferenceAnswers.from_bytes(content)
    assert again.to_bytes() == content
    np.testing.assert_array_equal(again.rows, ROWS)


@pytest.mark.parametrize("content", [b"", b"\x80\x04pickle", b"\x02\x00\x00\x00\x00\x00\x00\x00{}"])
def test_other_bytes_are_refused(content):
    with pytest.raises(ModelRefused, match="are no reference answers"):
        ReferenceAnswers.from_bytes(content)


@pytest.mark.parametrize("answers", [np.zeros((3, 1)), np.zeros(4)])
def test_there_is_an_answer_to_each_row(answers):
    with pytest.raises(ModelRefused, match="an answer to each"):
        reference(answers.astype(np.float32))


def test_the_error_is_the_greatest_difference_and_what_is_no_number_counts_as_1():
    content = onnx_model(bias=0.0)
    from factory.model.session import onnx_answer

    served = onnx_answer(content, ROWS)
    assert reference(served).parity_error(content) == 0
    off = served.copy()
    off[2] -= 0.25
    assert reference(off).parity_error(content) == pytest.approx(0.25)
    off[3] = np.nan
    assert reference(off).parity_error(content) == 1
    with pytest.raises(ModelRefused, match="in shape"):
        reference(np.zeros((4, 2), np.float32)).parity_error(content)
