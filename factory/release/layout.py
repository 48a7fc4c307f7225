"""Names in the model repository: where releases, trials, snapshots and screens lie, and which names are models'."""

from factory.errors import ModelRefused, NameRefused
from factory.names import line_and_site

RELEASES, TRIALS, SNAPSHOTS, SCREENS = ".releases", ".trials", ".snapshots", ".screens"


def target(model: str, sequence: int) -> str:
    """Return where a release lies, as the model's link says it."""
    return f"{RELEASES}/{model}/{sequence}"


def trial_file(model: str) -> str:
    """Return where a model's trial is written."""
    return f"{TRIALS}/{model}.json"


def snapshot_file(line: str) -> str:
    """Return where a line's snapshot is written."""
    return f"{SNAPSHOTS}/{line}.json"


def screen_file(model: str) -> str:
    """Return where a site's newest decisions lie for its screens."""
    return f"{SCREENS}/{model}.json"


def is_model(name: str) -> bool:
    """Whether the name can be a model's."""
    try:
        return bool(checked(name))
    except ModelRefused:
        return False


def checked(model: str) -> str:
    """Return the name unchanged, or raise ModelRefused: `<line>.<site>`, each a checked name."""
    try:
        line_and_site(model)
    except NameRefused as error:
        raise ModelRefused(f"model name {model[:80]!r} is not <line>.<site>: {error}") from error
    return model
