"""Tables that nobody here made, from installed packages; each with the words that `factory new line` takes."""

import inspect
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl


@dataclass(frozen=True, kw_only=True)
class Other:
    """A table, what is asked of it, and the task it should be taken for."""

    write: Callable[[Path], Path]
    target: str
    task: str
    site: str = ""
    time: str = ""
    entity: str = ""

    def words(self, table: Path) -> list[str]:
        """What a person types after the line's name."""
        named = {"--site": self.site, "--time": self.time, "--entity": self.entity}
        return ["--from", str(table), "--target", self.target, *(x for n, v in named.items() if v for x in (n, v))]


def iris(folder: Path) -> Path:
    """150 flowers of three kinds, from scikit-learn."""
    from sklearn.datasets import load_iris

    found = load_iris(as_frame=True)
    kinds = [str(found.target_names[kind]) for kind in found.target]
    frame = pl.DataFrame(found.data.to_dict("list")).with_columns(pl.Series("kind", kinds))
    return _csv(frame, folder / "iris.csv")


def sparse_cells(folder: Path) -> Path:
    """569 tumours with nine values of ten missing, from scikit-learn; Parquet."""
    from sklearn.datasets import load_breast_cancer

    found = load_breast_cancer(as_frame=True)
    kept = np.random.default_rng(7).uniform(size=found.data.shape) < 0.1
    values = found.data.where(kept)
    frame = (
        pl.DataFrame(values.to_dict("list"))
        .fill_nan(None)
        .with_columns(pl.Series("malignant", list(found.target == 0)))
    )
    path = folder / "cells.parquet"
    frame.write_parquet(path)
    return path


def two_hundred_patients(folder: Path) -> Path:
    """200 patients and how far a disease went in a year, from scikit-learn; semicolons and decimal commas."""
    from sklearn.datasets import load_diabetes

    found = load_diabetes(as_frame=True, scaled=False)
    frame = pl.DataFrame(found.frame.to_dict("list")).head(200)
    path = folder / "patients.csv.gz"
    frame.write_csv(path.with_suffix(""), separator=";", decimal_comma=True)
    import gzip

    path.write_bytes(gzip.compress(path.with_suffix("").read_bytes()))
    return path


def wide_digits(folder: Path) -> Path:
    """1,797 handwritten digits with 500 columns: the pixels and products of pixels, from scikit-learn."""
    from sklearn.datasets import load_digits

    found = load_digits()
    pairs = np.random.default_rng(7).integers(0, 64, size=(436, 2))
    pixels = {f"pixel {place}": found.data[:, place] for place in range(64)}
    products = {f"pixel {a} * {b} #{n}": found.data[:, a] * found.data[:, b] for n, (a, b) in enumerate(pairs)}
    return _csv(pl.DataFrame({**pixels, **products, "digit": found.target}), folder / "digits.csv")


def affairs(folder: Path) -> Path:
    """6,366 answers to a magazine's questions, from statsmodels; the hours of an affair tell whether there was one."""
    from statsmodels.datasets import fair

    frame = pl.DataFrame(fair.load_pandas().data.to_dict("list")).with_columns(affair=pl.col("affairs") > 0)
    path = folder / "affairs"
    frame.write_delta(path)
    return path


def economy(folder: Path) -> Path:
    """203 quarters of the United States, from statsmodels; dates as 31.03.1959."""
    from statsmodels.datasets import macrodata

    frame = pl.DataFrame(macrodata.load_pandas().data.to_dict("list"))
    end = pl.date(pl.col("year").cast(int), pl.col("quarter").cast(int) * 3, 28).dt.month_end()
    return _csv(
        frame.with_columns(end.dt.strftime("%d.%m.%Y").alias("Quarter's end")).drop("year", "quarter"),
        folder / "us.csv",
    )


def weather(folder: Path) -> Path:
    """1,461 days in Seattle, from vega_datasets; dates as 2012/01/01."""
    return _vega("seattle-weather.csv", folder)


def stocks(folder: Path) -> Path:
    """Monthly prices of five companies, from vega_datasets; dates as Jan 1 2000."""
    return _vega("stocks.csv", folder)


def riots(folder: Path) -> Path:
    """63 people who died in riots, from vega_datasets: names, addresses, texts."""
    return _vega("la-riots.csv", folder)


def functions(folder: Path) -> Path:
    """Functions of SciPy with their documentation, each a text of one of three modules."""
    import scipy.linalg
    import scipy.signal
    import scipy.stats

    rows = [
        {"function": name, "description": " ".join(text.split())[:400], "module": module.__name__}
        for module in (scipy.linalg, scipy.signal, scipy.stats)
        for name, thing in vars(module).items()
        if callable(thing) and (text := inspect.getdoc(thing))
    ]
    return _csv(pl.DataFrame(rows), folder / "functions.csv")


OTHERS = {
    "iris": Other(write=iris, target="kind", task="multiclass"),
    "cells": Other(write=sparse_cells, target="malignant", task="binary"),
    "patients": Other(write=two_hundred_patients, target="target", task="regression"),
    "digits": Other(write=wide_digits, target="digit", task="multiclass"),
    "affairs": Other(write=affairs, target="affair", task="binary"),
    "economy": Other(write=economy, target="infl", task="regression", time="Quarter's end"),
    "weather": Other(write=weather, target="weather", task="multiclass", time="date"),
    "stocks": Other(write=stocks, target="price", task="regression", time="date", site="symbol"),
    "functions": Other(write=functions, target="module", task="multiclass"),
}


def _csv(frame: pl.DataFrame, path: Path) -> Path:
    frame.write_csv(path)
    return path


def _vega(name: str, folder: Path) -> Path:
    import vega_datasets

    return Path(shutil.copy(Path(vega_datasets.__file__).parent / "_data" / name, folder / name))
