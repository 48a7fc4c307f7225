"""Bins of the piecewise-linear encoding: where each feature's range is cut, fitted on training rows only."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_CLIP = 1e30
"""Values beyond this are measured as this, so that no difference or ratio overflows float32."""
_LEAST_PIECE = 1e-6
"""A piece narrower than this share of the feature's range is merged with its neighbour."""


@dataclass(frozen=True, kw_only=True)
class Bins:
    """Per feature: its range, and each piece's left edge and inverse width; unused pieces have inverse width 0.

    `low`, `high`, `inverse_range` are `[features]`; `left`, `inverse_width` are `[features, pieces]`. A feature that
    never varies, or is never known, has inverse widths and inverse range 0, so it says nothing.
    """

    low: Floats
    high: Floats
    inverse_range: Floats
    left: Floats
    inverse_width: Floats


def fit_bins(features: Floats, pieces: int) -> Bins:
    """Cut each column of `[rows, features]` at its quantiles into at most `pieces`; NaN and infinities are left out."""
    columns = [piece_edges(column, pieces) for column in features.T]
    left, inverse = np.zeros((2, len(columns), pieces), np.float32)
    for row, edges in enumerate(columns):
        left[row, : len(edges) - 1] = edges[:-1]
        inverse[row, : len(edges) - 1] = 1.0 / np.diff(edges)
    low = np.array([edges[0] for edges in columns], np.float32)
    high = np.array([edges[-1] for edges in columns], np.float32)
    span = high.astype(np.float64) - low
    inverse_range = np.divide(1.0, span, out=np.zeros_like(span), where=span > 0).astype(np.float32)
    return Bins(low=low, high=high, inverse_range=inverse_range, left=left, inverse_width=inverse)


def piece_edges(column: Floats, pieces: int) -> NDArray[np.float64]:
    """Return the increasing edges of one column's pieces: one edge if it never varies, at most `pieces` + 1.

    Few distinct values are edges themselves. With many ties quantiles coincide, so the values beside the ties get the
    pieces that are left over.
    """
    known = np.clip(column[np.isfinite(column)].astype(np.float64), -_CLIP, _CLIP)
    if not known.size:
        return np.zeros(1)
    distinct = np.unique(known)
    if distinct.size <= pieces + 1:
        return _apart(distinct)
    return _apart(_quantile_edges(known, distinct, pieces))


def _quantile_edges(known: NDArray[np.float64], distinct: NDArray[np.float64], pieces: int) -> NDArray[np.float64]:
    """Return distinct quantiles; ties that swallow some give their share to quantiles of the distinct values."""
    edges = np.unique(np.quantile(known, np.linspace(0, 1, pieces + 1)))
    spare = pieces + 1 - edges.size
    if spare:
        edges = np.unique(np.concatenate([edges, np.quantile(distinct, np.linspace(0, 1, spare + 2)[1:-1])]))
    return edges


def _apart(edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Drop edges that float32 could not tell well apart, keeping the first and the last."""
    least = max(_LEAST_PIECE * (edges[-1] - edges[0]), 1e-30)
    distinct = [edges[0]]
    for edge in edges[1:]:
        if edge - distinct[-1] >= least:
            distinct.append(edge)
    return np.array(distinct)
