import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from factory.training.bins import fit_bins, piece_edges
from factory.training.table_network import Embedding

FLOATS = st.floats(width=32, allow_nan=True, allow_infinity=True)
COLUMNS = hnp.arrays(np.float32, st.integers(0, 60), elements=FLOATS)


@given(COLUMNS, st.integers(2, 12))
def test_edges_of_any_column_increase_and_are_few_enough(column, pieces):
    edges = piece_edges(column, pieces)
    assert 1 <= len(edges) <= pieces + 1
    assert (np.diff(edges) > 0).all()
    assert np.isfinite(edges).all()


@given(COLUMNS, COLUMNS)
def test_any_value_has_a_finite_code_whatever_the_bins_were_fitted_on(fitted_on, seen):
    import torch

    embedding = Embedding(fit_bins(fitted_on.reshape(-1, 1), 5), 3)
    with torch.no_grad():
        assert torch.isfinite(embedding(torch.from_numpy(seen.reshape(-1, 1)))).all()


@pytest.mark.parametrize("column", [np.full(9, 4.0), np.full(9, np.nan), np.full(9, np.inf), np.empty(0)])
def test_a_column_that_never_varies_or_is_never_known_says_nothing(column):
    bins = fit_bins(column.astype(np.float32).reshape(-1, 1), 5)
    assert not bins.inverse_width.any()
    assert not bins.inverse_range.any()


def test_few_distinct_values_are_edges_themselves():
    np.testing.assert_array_equal(piece_edges(np.array([3, 1, 1, 2, np.nan], np.float32), 8), [1, 2, 3])


def test_values_beside_heavy_ties_still_get_pieces():
    rain = np.concatenate([np.zeros(980), np.linspace(1, 20, 20)]).astype(np.float32)
    edges = piece_edges(rain, 8)
    assert len(edges) == 9
    assert (edges[1:] >= 1).all()


def test_the_code_counts_the_pieces_below_a_value():
    import torch

    embedding = Embedding(fit_bins(np.arange(5, dtype=np.float32).reshape(-1, 1), 4), 1)
    with torch.no_grad():
        embedding.weight.zero_()
        embedding.weight[0, :4] = 1.0
        embedding.bias.zero_()
        codes = embedding(torch.tensor([[-9.0], [0.0], [0.5], [2.25], [4.0], [99.0], [float("nan")]]))
    np.testing.assert_allclose(codes[:, 0].numpy(), [0, 0, 0.5, 2.25, 4, 4, 0], atol=1e-6)


def test_an_unknown_value_is_not_the_lowest_one():
    import torch

    torch.manual_seed(0)
    embedding = Embedding(fit_bins(np.arange(5, dtype=np.float32).reshape(-1, 1), 4), 3)
    with torch.no_grad():
        unknown, lowest = embedding(torch.tensor([[float("nan")], [0.0]]))
    assert not torch.allclose(unknown, lowest)
