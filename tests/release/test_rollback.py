"""Going back to an earlier release: tried out before, held after, and never to a file that may not be served."""

import pytest

from factory.errors import ModelRefused, ReleaseRefused
from factory.release.history import Event
from factory.release.rollback import roll_back
from factory.release.signing import public_key
from tests.gateway.builders import Shop, eventually, gateway, onnx_model, question, verdict

MODEL = "toy.UA"
FIRST, SECOND, THIRD = onnx_model(), onnx_model(bias=1.0), onnx_model(bias=2.0)


@pytest.fixture
def shop(tmp_path):
    """Three releases of three files; the last is served."""
    shop = Shop(tmp_path)
    for version, content in enumerate((FIRST, SECOND, THIRD), 1):
        shop.release(content, version=version)
    return shop


def back(shop, to=None, by="lena", reason="passengers complain"):
    return roll_back(shop.repository, MODEL, to=to, by=by, reason=reason, key=shop.key)


def served(shop):
    return shop.repository.load(MODEL, public_key(shop.public)).manifest.sequence


def allow(shop):
    shop.repository.site_history.append(MODEL, Event(kind="allowance", actor="otto", reason="mended"), shop.key)


def test_a_rollback_serves_the_release_before_and_says_who_and_why(shop):
    assert back(shop).sequence == 2
    assert served(shop) == 2
    record = shop.repository.site_history.read(MODEL).records()[-1]
    assert (record.kind, record.actor, record.reason) == ("rollback", "lena", "passengers complain")
    assert (record.version, record.release) == (2, 2)
    assert record.withdrawn == verdict(THIRD).digest


def test_a_second_rollback_goes_back_one_further_and_the_first_release_is_the_end(shop):
    back(shop)
    assert back(shop).sequence == 1
    with pytest.raises(ReleaseRefused, match="release 1 was its first"):
        back(shop)
    assert served(shop) == 1


def test_any_release_can_be_named_the_one_rolled_back_from_too(shop):
    assert back(shop, to=1).sequence == 1
    assert back(shop, to=3).sequence == 3
    with pytest.raises(ReleaseRefused, match="has no release 9; there are 1, 2, 3"):
        back(shop, to=9)
    assert served(shop) == 3


def test_no_release_undoes_a_rollback_until_somebody_allows(shop):
    back(shop)
    new = onnx_model(bias=4.0)
    for content in (THIRD, new):
        with pytest.raises(ReleaseRefused, match="holds it on release 2"):
            shop.release(content, version=4)
    assert shop.release(SECOND, version=2).sequence == 2  # is served: nothing to do, nothing refused
    allow(shop)
    with pytest.raises(ReleaseRefused, match="took this very file out of service"):
        shop.release(THIRD, version=3)
    assert shop.release(new, version=4).previous == 2
    assert served(shop) == 4


def test_going_back_to_what_is_served_holds_it_there(shop):
    assert back(shop, to=3).sequence == 3
    with pytest.raises(ReleaseRefused, match="holds it on release 3"):
        shop.release(onnx_model(bias=5.0), version=5)
    allow(shop)
    assert shop.release(onnx_model(bias=5.0), version=5).sequence == 4


@pytest.mark.parametrize("content", [b"no model", onnx_model(bias=float("nan")), onnx_model((1.0, 2.0))])
def test_a_release_that_cannot_answer_its_own_example_is_not_gone_back_to(tmp_path, content):
    shop = Shop(tmp_path)
    shop.release(content, verdict=verdict(content))
    shop.release(SECOND, version=2)
    with pytest.raises(ModelRefused):
        back(shop)
    assert served(shop) == 2
    assert [record.kind for record in shop.repository.site_history.read(MODEL).records()] == ["release", "release"]


def test_a_release_that_was_changed_is_not_gone_back_to(shop):
    file = shop.home / "models" / ".releases" / MODEL / "2" / "2" / "model.onnx"
    file.unlink()
    file.write_bytes(FIRST)
    with pytest.raises(ModelRefused, match="was changed"):
        back(shop)
    assert served(shop) == 3
    assert back(shop, to=1).sequence == 1


def test_from_a_spoiled_release_a_named_one_can_be_gone_back_to(shop):
    link = shop.home / "models" / MODEL
    link.unlink()
    link.symlink_to("../elsewhere")
    with pytest.raises(ReleaseRefused, match="say which release with --to: 1, 2, 3"):
        back(shop)
    assert back(shop, to=2).sequence == 2
    assert served(shop) == 2


def test_a_site_without_a_release_has_nothing_to_go_back_to(tmp_path):
    with pytest.raises(ReleaseRefused, match="nothing is served"):
        back(Shop(tmp_path))
    assert not (tmp_path / "models").exists()


def test_the_gateway_serves_the_earlier_release_without_being_told(shop):
    with gateway(shop) as client:
        ask = question([[1.0, 2.0, 3.0]])

        def answered():
            return client.post(f"/v2/models/{MODEL}/infer", json=ask).raise_for_status().json()["model_version"]

        assert answered() == "3"
        back(shop)
        eventually(lambda: answered() == "2")
