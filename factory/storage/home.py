"""The home: everything a factory keeps, and where. Nothing else in the library knows a path in it.

Read from `--home` or `FACTORY_HOME`, by default `.factory` beside the project's `definitions.py`, wherever one stands
in the project; the lake may be elsewhere, as `FACTORY_LAKE` says.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from factory.errors import EnvironmentRefused
from factory.errors.masking import keep_secrets_of
from factory.names import checked_name
from factory.storage.project import found_root

FOLDER = ".factory"
"""A home's folder in its project."""
RELEASE_KEY, PUBLIC_KEY = "release.key", "release.pub"
"""The files of the release key and of its public half, in the folder of keys."""
HOME_VARIABLE = "FACTORY_HOME"
LAKE_VARIABLES = ("FACTORY_LAKE", "FACTORY_LAKE_OPTIONS")


@dataclass(frozen=True, kw_only=True)
class Home:
    """A home and every place in it."""

    root: Path
    lake: str
    """Folder or object-store URL of the Delta tables."""
    lake_options: Mapping[str, str] = field(default_factory=dict)
    """The object store's options, as delta-rs has them."""

    @classmethod
    def at(cls, root: Path, lake: str = "", lake_options: str = "") -> "Home":
        """Return the home in a folder, with its lake in it unless another is named; options are a JSON object.

        Folders are from the working folder. Raises EnvironmentRefused on options that are none.
        """
        whole, options = root.resolve(), storage_options(lake_options)
        keep_secrets_of({"lake": lake})  # where it is a URL; a folder is no secret
        elsewhere = lake if "://" in lake or not lake else str(Path(lake).resolve())
        return cls(root=whole, lake=elsewhere or str(whole / "lake"), lake_options=options)

    @classmethod
    def found(cls, environment: Mapping[str, str], root: Path | None = None) -> "Home":
        """Return the home in `root`, else the environment's, else that of the project around the working folder."""
        named = root or (Path(environment[HOME_VARIABLE]) if environment.get(HOME_VARIABLE) else None)
        keep_secrets_of(environment)
        lake = (environment.get(name, "") for name in LAKE_VARIABLES)
        return cls.at(named or (found_root() or Path.cwd()) / FOLDER, *lake)

    def environment(self) -> dict[str, str]:
        """Return the variables by which a process that is started from here finds this home and its orchestrator."""
        return {HOME_VARIABLE: str(self.root), LAKE_VARIABLES[0]: self.lake, "DAGSTER_HOME": str(self.dagster)}

    @property
    def dagster(self) -> Path:
        """The orchestrator's folder."""
        return self.root / "dagster"

    @property
    def tracking_uri(self) -> str:
        """MLflow's database, where no tracking server is named."""
        return f"sqlite:///{self.registry_database}"

    @property
    def registry_database(self) -> Path:
        """The file of MLflow's database, where no tracking server is named."""
        return self.root / "mlflow.db"

    @property
    def artifacts(self) -> Path:
        """The files of registered models, where no tracking server keeps them."""
        return self.root / "artifacts"

    @property
    def models(self) -> Path:
        """The model repository: all that a gateway needs, beside the public key."""
        return self.root / "models"

    @property
    def history(self) -> Path:
        """The sites' signed histories."""
        return history_beside(self.models)

    @property
    def keys(self) -> Path:
        """The folder of the release key."""
        return self.root / "keys"

    @property
    def public_key(self) -> Path:
        """The public half of the release key."""
        return self.keys / PUBLIC_KEY

    @property
    def api_keys(self) -> Path:
        """The gateway's API keys, as hashes."""
        return self.keys / "gateway.json"

    @property
    def prediction_log(self) -> Path:
        """What the gateway was asked and answered, until it is in the lake."""
        return self.root / "predictions"

    @property
    def outbox(self) -> Path:
        """The messages to business systems, a file a line; on a local disk."""
        return self.root / "outbox"

    @property
    def locks(self) -> Path:
        """Lock files; on a local disk."""
        return self.root / "locks"

    @property
    def reports(self) -> Path:
        """Pages of lines and sites."""
        return self.root / "reports"

    @property
    def data_docs(self) -> Path:
        """Great Expectations' Data Docs."""
        return self.root / "docs"

    @property
    def scratch(self) -> Path:
        """Work in progress, such as checkpoints; losing it costs time and nothing else."""
        return self.root / "work"

    @property
    def rollouts(self) -> Path:
        """How far rollouts are."""
        return self.root / "rollouts"

    @property
    def forgotten(self) -> Path:
        """Receipts that persons were forgotten; none says who."""
        return self.root / "forgotten"

    @property
    def example(self) -> Path:
        """A first request for the gateway."""
        return self.root / "example.json"

    def backtest(self, line: str) -> Path:
        """Return the folder of a line's backtest, a home of its own."""
        return self.root / "backtest" / checked_name(line, "line")


def storage_options(text: str) -> dict[str, str]:
    """Return an object store's options from a JSON object; raises EnvironmentRefused, which tells none of its values.

    Some of them are secrets.
    """
    try:
        options = json.loads(text or "{}")
    except ValueError:
        options = None
    if not isinstance(options, dict) or not all(isinstance(value, str) for value in options.values()):
        raise EnvironmentRefused(
            f"{LAKE_VARIABLES[1]} is no JSON object of texts: write it as "
            '{"aws_region": "eu-central-1"}, with the names that delta-rs has'
        )
    keep_secrets_of(options)
    return options


def history_beside(models: Path) -> Path:
    """Return where the sites' histories are, for who knows the model repository alone, as a gateway does."""
    return models.parent / "history"
