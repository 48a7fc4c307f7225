import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as of

from factory.features.samples import Samples
from factory.model.session import onnx_answer
from factory.model.signature import Signature
from factory.training.categories import LEAST_ROWS, Categories, fit_categories
from factory.training.fine_tune import fine_tune
from factory.training.loop import train_base
from factory.training.onnx_export import export_onnx
from factory.training.predict import answers
from tests.training.builders import SMALL, TASK

COLUMNS = ("amount", "city")
BY_CITY = dataclasses.replace(SMALL, category_columns=("city",), max_steps=300, validate_every=50, patience=3)
CITIES = 120
YES = np.random.default_rng(5).random(CITIES) < 0.5
"""Whether a city says yes: its number tells nothing of it."""


def rows(count, *, seed):
    chance = np.random.default_rng(seed)
    city = chance.integers(CITIES, size=count)
    features = np.stack([chance.normal(size=count), city], 1).astype(np.float32)
    label = (chance.random(count) < np.where(YES[city], 0.95, 0.05)).astype(np.float32)
    return Samples(features=features, label=label, site=np.full(count, "A"), columns=COLUMNS)


def trained(recipe=BY_CITY):
    return train_base(
        rows(3000, seed=1), rows(600, seed=2), recipe, task=TASK, device="cpu", checkpoint=None, report=lambda _: None
    )


@pytest.fixture(scope="module")
def by_city():
    return trained()


def accuracy(weights, recipe):
    test = rows(2000, seed=3)
    return ((answers(weights, recipe, TASK, test.features)[:, 0] >= 0.5) == test.label).mean()


def test_many_categories_are_told_apart_where_their_numbers_tell_nothing(by_city):
    plain = dataclasses.replace(BY_CITY, category_columns=())
    assert accuracy(by_city.weights, BY_CITY) > 0.9 > accuracy(trained(plain).weights, plain) + 0.1


def test_all_that_was_never_seen_has_one_answer_between_yes_and_no(by_city):
    never = np.array([[0.0, CITIES], [0.0, 1e9], [0.0, -1.0], [0.0, np.inf], [0.0, -np.inf]], np.float32)
    first, *others = answers(by_city.weights, BY_CITY, TASK, never)[:, 0]
    np.testing.assert_allclose(others[::2], first, rtol=0.2)
    assert 0.1 < first < 0.9
    assert np.isfinite(answers(by_city.weights, BY_CITY, TASK, np.full((1, 2), np.nan, np.float32))).all()


@pytest.mark.filterwarnings(r"ignore:`isinstance\(treespec, LeafSpec\)` is deprecated:FutureWarning")
def test_the_served_graph_and_the_network_agree_on_every_code_and_on_none(by_city):
    signature = Signature(task="binary", features=COLUMNS, steps=None, output="probability", answers=("probability",))
    content = export_onnx({"A": by_city.weights}, BY_CITY, TASK, signature)["A"]
    codes = np.array([*range(-2, CITIES + 3), np.nan, np.inf, -np.inf, 2.5, 3e38], np.float32)
    asked = np.stack([np.zeros(len(codes), np.float32), codes], 1)
    np.testing.assert_allclose(onnx_answer(content, asked), answers(by_city.weights, BY_CITY, TASK, asked), atol=1e-5)


def test_a_site_fine_tunes_its_categories(by_city):
    recipe = dataclasses.replace(BY_CITY, fine_tune_min_gain=-1.0)
    turned = [dataclasses.replace(some, label=1 - some.label) for some in (rows(1500, seed=7), rows(500, seed=8))]
    model = fine_tune(by_city.weights, *turned, recipe, task=TASK, sites=["A"], device="cpu")["A"]
    name = "members.categories.weight"
    assert model.fine_tuned
    assert not torch.equal(model.weights[name], by_city.weights[name])


@settings(phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    of.arrays(
        np.float32,
        st.tuples(st.integers(1, 60), st.integers(1, 3)),
        elements=st.one_of(st.integers(-2, 12).map(float), st.just(float("nan")), st.just(float("inf"))),
    )
)
def test_a_code_has_a_vector_of_its_own_exactly_where_enough_rows_have_it(codes):
    place = fit_categories(codes)
    embedded = Categories(np.arange(codes.shape[1]), place, int(place.max()) + 1, 4).eval()
    with torch.inference_mode():
        vectors = embedded(torch.from_numpy(codes)).unflatten(1, (-1, 4)).numpy()
    for feature, column in enumerate(codes.T):
        unseen = embedded.weight[place[feature, -1]].detach().numpy()
        for row, code in enumerate(column):
            rows = np.isnan(column).sum() if np.isnan(code) else (column == code).sum()
            enough = rows >= LEAST_ROWS and (np.isnan(code) or (code >= 0 and np.isfinite(code)))
            assert (vectors[row, feature] == unseen).all() == (not enough)
    learnt = [set(row[row != row[-1]]) for row in place]
    assert len(set().union(*learnt)) == sum(map(len, learnt)), "no two features share a vector"
