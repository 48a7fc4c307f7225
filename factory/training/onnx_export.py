"""A model as ONNX: one graph exported once, each site's weights put in, equal weights giving equal bytes.

The graph takes `features`, FP32 `[batch, …]` with NaN where unknown, and gives the task's output, FP32
`[batch, answers]`: see factory/model/signature.py.
"""

import functools
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import onnx
import torch

from factory.errors import ModelRefused
from factory.line.recipe import Recipe
from factory.model.signature import INPUT, Signature
from factory.tasks import Task
from factory.training.network import rebuilt
from factory.training.weights import Weights

Shapes = tuple[tuple[str, tuple[int, ...], torch.dtype], ...]


def export_onnx(models: Mapping[str, Weights], recipe: Recipe, task: Task, signature: Signature) -> dict[str, bytes]:
    """Return each site's model as ONNX bytes; all must be of one recipe and task.

    The graph depends on recipe, task and the weights' shapes alone: it is exported once a process, which takes seconds;
    a model costs milliseconds then. Raises ModelRefused if a model's weights are not all in the graph, with the same
    shapes.
    """
    if not models:
        return {}
    first = next(iter(models.values()))
    for site, weights in models.items():
        _check_fit(site, weights, first)
    # Sorted, for weights read from a file come in another order than those of a network, and are the same graph.
    shapes = tuple((name, tuple(tensor.shape), tensor.dtype) for name, tensor in sorted(first.items()))
    graph = _graph(recipe, task, shapes, signature)
    return {site: _filled(graph, site, weights) for site, weights in models.items()}


@functools.lru_cache(maxsize=8)
def _graph(recipe: Recipe, task: Task, shapes: Shapes, signature: Signature) -> onnx.ModelProto:
    """Export an empty network of these shapes; strip what depends on the machine, the source files and the exporter."""
    network = rebuilt(recipe, task, {name: torch.zeros(shape, dtype=dtype) for name, shape, dtype in shapes})
    # Two rows: an example of one would be taken for a batch that is always one.
    example = (torch.zeros(2, *signature.input_shape),)
    batches = ({0: torch.export.Dim("batch", min=1)},)
    with _quiet_exporter():
        # Unoptimized: the optimizer folds weights into constants and merges those that happen to be equal, and then
        # another site's weights have no place. ONNX Runtime optimizes when it loads.
        program = torch.onnx.export(
            network,
            example,
            dynamo=True,
            dynamic_shapes=batches,
            input_names=[INPUT],
            output_names=[signature.output],
            optimize=False,
            verbose=False,
        )
    if program is None:
        raise ModelRefused("torch.onnx.export gave no program; the network cannot be served")
    model = program.model_proto
    _strip(model)
    return model


def _strip(model: onnx.ModelProto) -> None:
    """Remove notes, shapes of inner values, and names of nodes: none changes an answer, some name files."""
    model.producer_name, model.producer_version, model.doc_string = "ai-factory", "", ""
    model.graph.name, model.graph.doc_string = "network", ""
    del model.metadata_props[:], model.graph.metadata_props[:], model.graph.value_info[:]
    named = [*model.graph.node, *model.graph.initializer, *model.graph.input, *model.graph.output]
    for item in named:
        item.doc_string = ""
        del item.metadata_props[:]
    for number, node in enumerate(model.graph.node):
        node.name = f"n{number}"


def _check_fit(site: str, weights: Weights, first: Weights) -> None:
    """Raise ModelRefused unless the weights have the names and shapes of the first model's."""
    shapes, expected = ({name: tuple(tensor.shape) for name, tensor in model.items()} for model in (weights, first))
    if odd := sorted(name for name in shapes.keys() | expected.keys() if shapes.get(name) != expected.get(name)):
        raise ModelRefused(
            f"site {site!r}: weight {odd[0]} has shape {shapes.get(odd[0])}, the other models' {expected.get(odd[0])}; "
            "export models of one recipe together"
        )


def _filled(graph: onnx.ModelProto, site: str, weights: Weights) -> bytes:
    """Return the graph with these weights as its initializers."""
    model = onnx.ModelProto()
    model.CopyFrom(graph)
    places = {initializer.name: initializer for initializer in model.graph.initializer}
    for name, tensor in weights.items():
        if name not in places:
            raise ModelRefused(
                f"site {site!r}: weight {name} has no place in the exported graph; export it unoptimized"
            )
        places[name].CopyFrom(onnx.numpy_helper.from_array(tensor.numpy(), name))
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Silence exactly two remarks of torch's exporter that say nothing about our graph."""
    registration = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = registration.level
    registration.setLevel(logging.ERROR)  # "torchvision is not installed"
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
            yield
    finally:
        registration.setLevel(level)
