"""Operating conditions, found from the settings a machine ran at, and what is ordinary in each.

In: training rows, float32, NaN where unknown. Out: the conditions' centres, and each column's mean and scale in each.
The same sensor reads 520 on the ground and 445 at 42,000 feet; measured against its own condition both are ordinary.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

FAR = np.float32(1e15)
"""A value beyond this counts as this far: infinity times a scale of 0 would be no number."""
MAX_CONDITIONS = 8
_CLEAR = 0.8
"""The mean silhouette (Rousseeuw, 1987) from which clusters count as conditions; noise around one point stays below."""
_FIT_ROWS, _CLUSTER_ROWS, _SILHOUETTE_ROWS = 200_000, 5_000, 2_000
_CONSTANT = 1e-6
"""A column whose standard deviation is below this share of its mean never varies: what is left is rounding."""


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """Where the conditions lie, and each column's mean and inverse standard deviation in each.

    `setting_mean`, `setting_scale` are `[columns]`, the scale 0 where a column is no setting; `centre`, the centres in
    settings so scaled, `mean` and `scale` are `[conditions, columns]`. A column that never varies in a condition, or is
    never known there, has scale 0, so it says nothing.
    """

    setting_mean: Floats
    setting_scale: Floats
    centre: Floats
    mean: Floats
    scale: Floats

    @property
    def settings(self) -> NDArray[np.int64]:
        """The columns that are settings; none where there is one condition."""
        return np.flatnonzero(self.setting_scale) if len(self.centre) > 1 else np.empty(0, np.int64)

    def measured(self, features: Floats) -> Floats:
        """Return each moment, float32 `[..., columns]`, in standard deviations from its own condition's mean.

        The condition is the nearest one by the settings that are known, as in the network. Features are at most FAR
        from 0; NaN, which is unknown, stays.
        """
        settings = self.settings
        known = ~np.isnan(features[..., settings])
        setting = (features[..., settings] - self.setting_mean[settings]) * self.setting_scale[settings]
        centre = self.centre[:, settings].astype(np.float64)
        # |setting - centre|² less |setting|², which is the same for every centre; in float64, for the file to agree.
        distance = known @ np.square(centre).T - 2.0 * np.where(known, setting, 0.0).astype(np.float64) @ centre.T
        condition = distance.argmin(-1)
        measured: Floats = (features - self.mean[condition]) * self.scale[condition]
        return measured


def fit_conditions(
    features: Floats, settings: tuple[int, ...] = (), max_conditions: int = MAX_CONDITIONS
) -> Conditions:
    """Find the conditions of training rows, float32 `[..., columns]`, from the columns named in `settings`.

    There are as many as make the clearest clusters, at most `max_conditions`; one if no number makes clear ones or
    there are no settings. NaN, infinities and moments with an unknown setting are left out. The same rows give the same
    conditions.
    """
    rows = _sample(features.reshape(-1, features.shape[-1]))
    chosen = list(settings)
    complete = ~np.isnan(rows[:, chosen]).any(1)
    rows = rows[complete] if complete.any() else rows
    setting_mean, setting_scale = np.zeros((2, rows.shape[1]))
    mean, scale = _ordinary(rows)
    setting_mean[chosen], setting_scale[chosen] = mean[chosen], scale[chosen]
    scaled = np.nan_to_num((rows - setting_mean) * setting_scale)
    centre = _centres(scaled, max_conditions) if scaled.any() else np.zeros((1, rows.shape[1]))
    nearest = _nearest(scaled, centre)
    ordinary = np.array([_ordinary(rows[nearest == number]) for number in range(len(centre))])
    return Conditions(
        setting_mean=setting_mean.astype(np.float32),
        setting_scale=setting_scale.astype(np.float32),
        centre=centre.astype(np.float32),
        mean=ordinary[:, 0].astype(np.float32),
        scale=ordinary[:, 1].astype(np.float32),
    )


def _sample(rows: Floats) -> NDArray[np.float64]:
    """Return rows of which anything is known, at most `_FIT_ROWS` drawn by chance, infinities unknown."""
    known = np.flatnonzero(np.isfinite(rows).any(1))
    if known.size > _FIT_ROWS:
        known = np.sort(np.random.default_rng(0).choice(known, _FIT_ROWS, replace=False))
    sample = rows[known].astype(np.float64)
    sample[~np.isfinite(sample)] = np.nan
    return sample


def _ordinary(rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each column's mean and inverse standard deviation over what is known of it."""
    known = ~np.isnan(rows)
    count = np.maximum(known.sum(0), 1)
    mean = np.where(known, rows, 0.0).sum(0) / count
    deviation = np.sqrt(np.square(np.where(known, rows - mean, 0.0)).sum(0) / count)
    varies = deviation > _CONSTANT * np.maximum(np.abs(mean), 1e-30)
    return mean, np.divide(1.0, deviation, out=np.zeros_like(deviation), where=varies)


def _centres(scaled: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """Return the centres of the clearest clusters, or of all rows together if none are clear."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score
    from threadpoolctl import threadpool_limits

    chance = np.random.default_rng(0)
    rows = scaled[chance.permutation(len(scaled))[:_CLUSTER_ROWS]]
    judged = rows[:_SILHOUETTE_ROWS]
    best: NDArray[np.float64] = scaled.mean(0, keepdims=True)
    clearest = _CLEAR
    for number in range(2, min(most, len(np.unique(judged, axis=0)), len(judged) - 1) + 1):
        # Its threads wait for one another by turning round: beside other work ten times the processor time of one.
        with threadpool_limits(limits=1):
            centres = KMeans(number, n_init=10, random_state=0).fit(rows).cluster_centers_
        nearest = _nearest(judged, centres)
        clear = silhouette_score(judged, nearest) if np.unique(nearest).size > 1 else 0.0
        if clear > clearest:
            best, clearest = centres, clear
    return best


def _nearest(scaled: NDArray[np.float64], centre: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the number of the centre nearest to each row."""
    nearest: NDArray[np.int64] = np.argmin(np.square(centre).sum(1) - 2.0 * scaled @ centre.T, axis=1)
    return nearest
