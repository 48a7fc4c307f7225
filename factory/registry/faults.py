"""What MLflow, its database, its server and the store of its files say, as errors for a person.

Every call that leaves this library for MLflow is made within `registry_faults`, so that no exception of MLflow's, of
SQLAlchemy's or of an object store's client reaches anybody: a RegistryError goes out, with the original as its cause.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from factory.errors import FactoryError, RegistryError
from factory.errors.masking import masked_cause
from factory.storage.faults import KEPT, why_unusable

SQLITE = "sqlite:///"
_REMEDIES = (
    ("must be in the 'active' state", "somebody deleted it in MLflow: bring it back (`mlflow experiments restore`)"),
    ("does not exist", "somebody deleted it in MLflow: run the line with `--from base_model`, which makes it anew"),
    ("not found", "somebody deleted it in MLflow: run the line with `--from base_model`, which makes it anew"),
    ("out-of-date database schema", "back the database up, then run `mlflow db upgrade` on it"),
    ("can't locate revision", "a later MLflow made this database: install that version here"),
    ("already exists", "its tables are half made: if it has no run to keep, drop them, and they are made anew"),
    ("unauthorized", "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"),
    ("401", "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"),
    ("403", "let its administrator permit this user to write there"),
    ("password authentication", "mend user and password in MLFLOW_TRACKING_URI"),
    ("no module named", "install that package beside this library"),
    ("database is locked", "another program has held it for long: end that one, or use a tracking server"),
    ("nocredentials", "give this machine the store's credentials"),
    ("accessdenied", "give these credentials the right to read and write there"),
)
"""What the words mean, the first that fit, and what a person does about it."""
_ASK = "is it up, and may this machine reach it? Its own log says more"


@contextmanager
def registry_faults(address: str, doing: str = "") -> Iterator[None]:
    """Raise RegistryError for whatever the block's call into MLflow raises; our own errors go through as they are."""
    try:
        yield
    except FactoryError:
        raise
    except Exception as error:  # noqa: BLE001  the boundary of MLflow: its stores raise whatever lies below them
        raise _registry_error(error, address, doing) from masked_cause(error)


def _registry_error(error: Exception, address: str, doing: str) -> RegistryError:
    words = " ".join(str(getattr(error, "message", "") or error).split("[SQL:")[0].split()) or type(error).__name__
    place = Path(address.removeprefix(SQLITE)) if address.startswith(SQLITE) else None
    why = why_unusable(error, place) if place else ""
    if not why:
        text = f"{type(error).__name__} {words}".lower()
        remedy = next((remedy for sign, remedy in _REMEDIES if re.search(rf"\b{re.escape(sign)}\b", text)), _ASK)
        why = f"{words[:400]}; {remedy}"
    asked = f" ({doing})" if doing else ""
    return RegistryError(
        f"the registry, MLflow at {address}, failed{asked}: {why}; {KEPT}. Then run the same command again",
        str(getattr(error, "error_code", "")),
    )


class Client:
    """One of MLflow's clients, each of whose calls raises RegistryError and nothing else."""

    def __init__(self, client: Any, address: str) -> None:
        self._client = client
        self._address = address

    def __getattr__(self, name: str) -> Any:
        """Return the client's own attribute; of a method, one that raises our errors."""
        attribute = getattr(self._client, name)
        if not callable(attribute):
            return attribute

        def call(*words: Any, **how: Any) -> Any:
            with registry_faults(self._address, name.replace("_", " ")):
                return attribute(*words, **how)

        return call
