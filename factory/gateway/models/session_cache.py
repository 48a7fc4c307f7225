"""Which models are awake: at most so many, those that were asked last."""

from collections import OrderedDict
from weakref import WeakSet

from factory.gateway.limits import DEFAULT_MAX_AWAKE
from factory.gateway.models.served_model import ServedModel


class SessionCache:
    """The models that are awake, the one asked longest ago first; used on one event loop."""

    def __init__(self, at_most: int = DEFAULT_MAX_AWAKE) -> None:
        self._at_most = at_most
        self._retired: WeakSet[ServedModel] = WeakSet()
        self._awake: OrderedDict[ServedModel, None] = OrderedDict()

    @property
    def count(self) -> int:
        """How many are awake."""
        return len(self._awake)

    @property
    def full(self) -> bool:
        """Whether waking one more puts another to sleep."""
        return len(self._awake) >= self._at_most

    def used(self, model: ServedModel) -> None:
        """Note that an awake model is asked now; whoever was asked longest ago may go to sleep for it."""
        if model in self._retired:
            return
        self._awake[model] = None
        self._awake.move_to_end(model)
        while len(self._awake) > self._at_most:
            self._awake.popitem(last=False)[0].sleep()

    def forget(self, model: ServedModel) -> None:
        """Count a model no longer, for it is served no more; questions it has still are answered."""
        self._retired.add(model)
        self._awake.pop(model, None)
