"""A lake whose writer dies at a chosen commit, as a killed process would leave it."""

from factory.storage.lake import Lake


class Dies(Exception):  # noqa: N818  what it is
    """The end of a process."""


class MortalLake(Lake):
    """A lake whose writer dies before its n-th commit."""

    def __init__(self, lake, commits):
        super().__init__(lake.root.removesuffix(f"/{lake.line}"), lake.line)
        self.commits = commits

    def append(self, *args, **how):
        if self.commits == 0:
            raise Dies
        self.commits -= 1
        return super().append(*args, **how)
