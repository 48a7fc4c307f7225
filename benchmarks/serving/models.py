"""The models that are served to be measured, and their release as a line would do it."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from factory.model.signature import Signature
from factory.model.verdict import Verdict, digest_of
from factory.release import Guard, ModelRepository
from factory.release.signing import signing_key
from factory.storage.home import Home

FEATURES, HIDDEN = 12, 64
DEPARTURE_FEATURES = 44


def network(hidden: int = HIDDEN, *, stack: tuple[int, ...] = ()) -> bytes:
    """A network of two hidden layers on 12 features; as a stack, `[sites, batch, 12]`, each site with its weights."""
    rng = np.random.default_rng(7)
    sizes = [FEATURES, hidden, hidden, 1]
    constants, nodes, last = [], [], "features"
    for layer, (before, after) in enumerate(pairwise(sizes)):
        weights = rng.normal(0, 0.3, (*stack, before, after)).astype(np.float32)
        constants.append(onnx.numpy_helper.from_array(weights, f"w{layer}"))
        nodes.append(helper.make_node("MatMul", [last, f"w{layer}"], [f"z{layer}"]))
        last = "probability" if after == 1 else f"a{layer}"
        nodes.append(helper.make_node("Sigmoid" if after == 1 else "Relu", [f"z{layer}"], [last]))
    takes = helper.make_tensor_value_info("features", TensorProto.FLOAT, [*stack, "batch", FEATURES])
    gives = helper.make_tensor_value_info("probability", TensorProto.FLOAT, [*stack, "batch", 1])
    graph = helper.make_graph(nodes, "network", [takes], [gives], constants)
    return bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    )


def departure_sized() -> bytes:
    """The network of `departure_delay` by its recipe and its export, untrained, on rows made up."""
    import torch

    from factory.features.samples import Samples
    from factory.line.recipe import TableRecipe
    from factory.tasks import Binary
    from factory.training.network import new_network
    from factory.training.onnx_export import export_onnx
    from factory.training.weights import weights_of

    rng, recipe = np.random.default_rng(7), TableRecipe()
    features = rng.normal(size=(2_000, DEPARTURE_FEATURES)).astype(np.float32)
    label = (features[:, 0] > 0).astype(np.float32)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        made = new_network(recipe, Binary(), Samples(features=features, label=label, site=np.full(len(label), "UA")))
    return export_onnx({"UA": weights_of(made)}, recipe, Binary(), signature(DEPARTURE_FEATURES))["UA"]


def signature(features: int) -> Signature:
    """What both take and give."""
    names = tuple(f"f{number}" for number in range(features))
    return Signature(task="binary", features=names, output="probability", answers=("probability",))


def released(home: Path, content: bytes, *, sites: Sequence[str] = ("UA",), features: int = FEATURES) -> None:
    """Release the model as a line would, at each site the same file."""
    place = Home.at(home)
    repository, key, takes = ModelRepository.at(place), signing_key(place.keys), signature(features)
    for site in sites:
        verdict = Verdict(line="toy", site=site, digest=digest_of(content), passed=True, reasons=(), figures={})
        repository.release(
            content,
            line="toy",
            site=site,
            version=1,
            verdict=verdict,
            signature=takes,
            threshold=0.5,
            provenance={},
            example=(0.0,) * features,
            key=key,
            guard=Guard(ranges=dict.fromkeys(takes.features, (-3.0, 3.0))),
        )
