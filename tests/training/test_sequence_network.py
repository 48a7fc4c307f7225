import dataclasses
import gzip
import os
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch.func import functional_call

from factory.line.recipe import SequenceRecipe
from factory.training.conditions import fit_conditions
from factory.training.sequence_network import Members, Normalisation, empty_members, new_members
from factory.training.weights import from_bytes, to_bytes, weights_of

COLUMNS = ("altitude", "mach", "throttle", "heat", "flow")
SMALL = SequenceRecipe(window=20, condition_columns=COLUMNS[:3], channels=8, blocks=2, members=3, head_width=8)
SETTINGS = (0, 1, 2)
REGIMES = np.array(
    [[0, 0, 100], [10, 0.25, 100], [20, 0.7, 100], [25, 0.62, 60], [35, 0.84, 100], [42, 0.84, 100]], np.float32
)
EXPORT_REMARK = pytest.mark.filterwarnings(r"ignore:`isinstance\(treespec, LeafSpec\)` is deprecated:FutureWarning")
CMAPSS = Path(os.environ.get("FACTORY_DATA", "../shared/data")) / "cmapss"


def flights(count=3000, *, seed=0, regimes=REGIMES):
    """Return moments of machines at these settings, `[count, 5]`, two sensors that the regime moves, and the regime."""
    chance = np.random.default_rng(seed)
    regime = chance.integers(len(regimes), size=count)
    settings = regimes[regime] + chance.normal(size=(count, 3)) * [0.002, 0.0003, 0]
    own = chance.normal(size=(count, 2))
    sensors = own * [2.0, 0.5] + np.outer(regime, [100.0, -30.0])
    return np.concatenate([settings, sensors], 1).astype(np.float32), regime, own


def windows(rows=64, *, seed=0, steps=20):
    """Return windows, `[rows, steps, 5]`, every third of an entity that began less than a window ago."""
    moments = flights(rows * steps, seed=seed)[0].reshape(rows, steps, 5)
    for row in range(0, rows, 3):
        moments[row, : row % (steps - 1)] = np.nan
    return moments


def members(outputs=3, seed=0, recipe=SMALL, settings=SETTINGS):
    torch.manual_seed(seed)
    named = dataclasses.replace(recipe, condition_columns=tuple(COLUMNS[number] for number in settings))
    return new_members(named, outputs, windows(), COLUMNS).eval()


def answers(network, features):
    with torch.inference_mode():
        return network(torch.from_numpy(features)).numpy()


def normalised(conditions, features):
    return Normalisation(conditions)(torch.from_numpy(features)).numpy()


def exported(network, steps=20):
    batch = ({0: torch.export.Dim("batch", min=1)},)
    program = torch.onnx.export(
        network, (torch.zeros(2, steps, 5),), dynamo=True, dynamic_shapes=batch, optimize=False, verbose=False
    )
    return program.model_proto


def test_the_six_conditions_of_a_fleet_are_found():
    moments = flights()[0]
    conditions = fit_conditions(moments, SETTINGS)
    centres = conditions.centre[:, :3] / conditions.setting_scale[:3].clip(1e-9) + conditions.setting_mean[:3]
    np.testing.assert_allclose(centres[np.argsort(centres[:, 0])], REGIMES, atol=0.01)


def test_a_moment_is_measured_against_its_own_condition():
    moments, _, own = flights()
    value = normalised(fit_conditions(moments, SETTINGS), moments[None])[0, :, 3:5]
    np.testing.assert_allclose(value, own, atol=0.4)


def test_trees_measure_moments_against_the_conditions_that_the_network_finds():
    moments = windows(30)
    moments[::4, 5, 1] = np.nan
    moments[1::4, 6, 4] = np.inf
    conditions = fit_conditions(moments, SETTINGS)
    measured, seen = conditions.measured(moments), normalised(conditions, moments)[..., :5]
    known = np.isfinite(moments)
    np.testing.assert_allclose(measured[known].clip(-5, 5), seen[known], atol=1e-4)
    np.testing.assert_array_equal(np.isnan(measured), np.isnan(moments))


@pytest.mark.parametrize("settings", [(), SETTINGS])
def test_noise_around_one_point_is_one_condition(settings):
    assert len(fit_conditions(flights(regimes=REGIMES[:1])[0], settings).mean) == 1


@pytest.mark.parametrize("site", ["FD001", "FD003"])
def test_engines_that_fly_at_sea_level_only_have_one_condition(site):
    if not CMAPSS.exists():
        pytest.skip(f"no data in {CMAPSS}; set FACTORY_DATA")
    with gzip.open(CMAPSS / f"train_{site}.txt.gz") as lines:
        moments = np.loadtxt(lines, dtype=np.float32)[:, 2:]
    assert len(fit_conditions(moments, SETTINGS).mean) == 1


def test_moving_and_stretching_a_condition_changes_nothing_after_normalisation():
    moments, regime, _ = flights()
    moved = moments.copy()
    moved[regime == 2, 3:] = moved[regime == 2, 3:] * 3 - 70
    before = normalised(fit_conditions(moments, SETTINGS), moments[None])
    after = normalised(fit_conditions(moved, SETTINGS), moved[None])
    np.testing.assert_allclose(after[..., 3:5], before[..., 3:5], atol=1e-3)


def test_a_moment_with_an_unknown_setting_goes_by_the_others():
    moments, _, own = flights()
    conditions = fit_conditions(moments, SETTINGS)
    moments[:, 1] = np.nan
    np.testing.assert_allclose(normalised(conditions, moments[None])[0, :, 3:5], own, atol=0.4)


def test_a_column_that_never_varies_says_nothing_even_if_it_does_later():
    moments, _, _ = flights(regimes=REGIMES[:1])
    conditions = fit_conditions(moments)
    moments[:, 2] = np.linspace(-1e9, 1e9, len(moments))
    moments[0, 2], moments[1, 2] = np.inf, -np.inf
    assert not normalised(conditions, moments[None])[0, :, 2].any()


@pytest.mark.parametrize(
    "awkward", [np.full((4, 5), np.nan), np.zeros((1, 5)), np.full((3, 5), np.inf), np.empty((0, 5))]
)
def test_too_little_to_find_conditions_in_is_one_condition_that_says_nothing(awkward):
    conditions = fit_conditions(awkward.astype(np.float32), SETTINGS)
    assert conditions.mean.shape == (1, 5)
    assert np.isfinite(normalised(conditions, windows())).all()


def test_normalisation_is_fitted_on_the_rows_given_and_no_others():
    train, other = windows(seed=1), windows(seed=2) * 1.5
    alone = weights_of(new_members(SMALL, 3, train, COLUMNS))
    both = weights_of(new_members(SMALL, 3, np.concatenate([train, other]), COLUMNS))
    rows = train.reshape(-1, 5)
    centre = alone["normalisation.setting_mean"][:3].numpy()
    np.testing.assert_allclose(centre, np.nanmean(rows[:, :3], 0), rtol=1e-4)
    assert (both["normalisation.setting_mean"][:3] > alone["normalisation.setting_mean"][:3]).all()


def test_in_training_alone_every_known_column_of_a_window_is_moved_by_one_offset():
    moments, _, _ = flights(40, regimes=REGIMES[:1])
    moments[5, 3] = np.nan
    measure = Normalisation(fit_conditions(moments), shift=0.5)
    features = torch.from_numpy(moments.reshape(2, 20, 5))
    still, moved = measure.eval()(features), measure.train()(features)
    offset = (moved - still)[..., :5]
    assert offset[0, 5, 3] == 0
    assert not offset[..., 2].any()
    offset[0, 5, 3] = offset[0, 0, 3]
    torch.testing.assert_close(offset, offset[:, :1].expand_as(offset), atol=1e-5, rtol=0)
    assert offset[0, 0, 3] != offset[1, 0, 3]


def test_every_window_has_an_answer_however_broken():
    features = windows(8)
    features[0], features[1], features[2, -1], features[3] = np.nan, np.inf, -np.inf, 1e30
    features[4, ::2] = np.nan
    assert answers(members(), features).shape == (8, 3, 3)
    assert np.isfinite(answers(members(), features)).all()


def test_moments_before_the_beginning_are_the_same_as_none():
    """A window of 15 asked of a network of patches of 5 is that window with five unknown moments before it."""
    network = members()
    short = windows(9)[:, 3:]
    padded = np.concatenate([np.full((9, 3, 5), np.nan, np.float32), short], 1)
    np.testing.assert_array_equal(answers(network, short), answers(network, padded))


def test_a_beginning_is_not_taken_for_a_time_of_ordinary_values():
    network = members(settings=())
    began, ordinary = windows(2, seed=5), windows(2, seed=5)
    began[:, :10] = np.nan
    ordinary[:, :10] = network.normalisation.mean.numpy()[0]
    assert np.abs(answers(network, began) - answers(network, ordinary)).min() > 1e-4


def test_a_gap_never_met_in_training_counts_as_an_ordinary_value():
    network = members(settings=())
    gap, ordinary = windows(2, seed=5)[1:], windows(2, seed=5)[1:]
    gap[:, 4, 3] = np.nan
    ordinary[:, 4, 3] = network.normalisation.mean.numpy()[0, 3]
    np.testing.assert_allclose(answers(network, gap), answers(network, ordinary), atol=1e-6)


def test_a_row_s_answer_does_not_depend_on_its_company():
    features = windows()
    everything = answers(members(), features)
    for row in (0, 5):
        np.testing.assert_allclose(answers(members(), features[row : row + 1]), everything[row : row + 1], atol=1e-5)


def test_members_differ_and_all_look_back_over_the_whole_window():
    features = torch.from_numpy(windows(2, seed=3)[1:]).requires_grad_()
    network = members(settings=())
    network(features).square().sum().backward()
    assert (features.grad.abs().sum((0, 2)) > 0).all()
    assert answers(network, windows()).std(1).min() > 0


@EXPORT_REMARK
def test_onnx_and_torch_agree_for_batches_of_any_size():
    network = members()
    session = onnxruntime.InferenceSession(exported(network).SerializeToString(), providers=["CPUExecutionProvider"])
    for count in (1, 2, 7, 64):
        features = windows(64)[:count]
        features[0, 3] = np.inf
        (answer,) = session.run(None, {session.get_inputs()[0].name: features})
        assert answer.shape == (count, 3, 3)
        np.testing.assert_allclose(answer, answers(network, features), atol=1e-4, err_msg=f"{count} rows")


@EXPORT_REMARK
@pytest.mark.parametrize("settings", [(), SETTINGS])
def test_every_weight_has_its_place_in_the_graph_and_putting_in_others_gives_their_answers(settings):
    one, other = members(seed=1, settings=settings), members(seed=2, settings=settings)
    model = exported(one)
    places = {initializer.name: initializer for initializer in model.graph.initializer}
    for name, tensor in weights_of(other).items():
        places[name].CopyFrom(onnx.numpy_helper.from_array(tensor.numpy(), name))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (answer,) = session.run(None, {session.get_inputs()[0].name: windows()})
    np.testing.assert_allclose(answer, answers(other, windows()), atol=1e-4)


def test_weights_alone_rebuild_the_members():
    network = members(outputs=2)
    weights = from_bytes(to_bytes(weights_of(network)))
    again = empty_members(SMALL, 2, weights)
    again.load_state_dict(weights)
    np.testing.assert_array_equal(answers(again.eval(), windows()), answers(network, windows()))


def test_all_weights_are_floats():
    assert {tensor.dtype for tensor in weights_of(members()).values()} == {torch.float32}


def test_sites_trained_as_one_stack_are_as_if_each_were_alone():
    sites = [members(seed=seed) for seed in range(3)]
    features = torch.from_numpy(np.stack([windows(16, seed=seed) for seed in range(3)]))
    stacked = {
        name: torch.stack([dict(site.named_parameters())[name].detach() for site in sites]).requires_grad_()
        for name, _ in sites[0].named_parameters()
    }
    buffers = dict(sites[0].named_buffers())

    def one(parameters, rows):
        return functional_call(sites[0], (parameters, buffers), (rows,))

    torch.use_deterministic_algorithms(True)
    try:
        together = torch.vmap(one)(stacked, features)
        together.square().sum().backward()
        for index, site in enumerate(sites):
            alone = functional_call(site, buffers, (features[index],))
            torch.testing.assert_close(together[index], alone, atol=1e-5, rtol=1e-4)
            alone.square().sum().backward()
            for name, parameter in site.named_parameters():
                torch.testing.assert_close(stacked[name].grad[index], parameter.grad, atol=1e-4, rtol=1e-3)
    finally:
        torch.use_deterministic_algorithms(False)


def test_training_takes_the_loss_down():
    network: Members = members(outputs=1).train()
    features = torch.from_numpy(windows(256))
    label = torch.sign(features[:, -1, 4:5] + 75).unsqueeze(1)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(80):
        optimizer.zero_grad()
        loss = (network(features) - label).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
