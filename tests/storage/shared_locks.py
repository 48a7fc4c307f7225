"""Locks that many parts of a factory share, as on a database."""

from contextlib import contextmanager


class SharedLocks:
    """Locks as a database has them: one table for all, where nobody may take a name twice."""

    def __init__(self):
        self.held, self.names = set(), []

    @contextmanager
    def hold(self, name):
        assert name not in self.held, f"{name} is taken twice"
        self.held.add(name)
        self.names.append(name)
        try:
            yield
        finally:
            self.held.remove(name)

    @contextmanager
    def hold_if_free(self, name):
        with self.hold(name):
            yield True
