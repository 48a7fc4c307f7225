"""Which lines and sites there are, told without the orchestrator: what a person named is looked up before all else."""

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from factory.errors import FactoryError, NameRefused
from factory.names import checked_name, few, line_and_site, meant, model_name, model_parts, require_line
from factory.storage.home import Home
from factory.storage.project import found_root

if TYPE_CHECKING:
    from factory.line.line import Line


def known_lines(home: Home) -> list[str]:
    """Return the lines of the project, and those that a home has anything of, sorted."""
    from factory.storage.lake_store import LakeStore

    project = found_root()
    folders = (project / "lines").glob("*/defs.yaml") if project else ()
    models = [line_and_site(model)[0] for model in _models(home)]
    rollouts = [place.stem for place in home.rollouts.glob("*.json")]
    return sorted({*(file.parent.name for file in folders), *(LakeStore.at(home).lines() or ()), *models, *rollouts})


def mistaken_files(line: str = "") -> dict[str, FactoryError]:
    """Return what is wrong with the file, the Python and the contracts of each of the project's lines, or of one.

    Whether its source and its expectations can be used is what `factory check` tells, which asks the orchestrator.
    """
    from factory.line.file import LineFile

    project, mistaken = found_root(), {}
    if project and str(project) not in sys.path:
        sys.path.insert(0, str(project))
    for place in sorted((project / "lines").glob("*/defs.yaml")) if project else ():
        file = LineFile(place)
        try:
            if line in ("", file.name) and not file.has_templates():
                file.line(file.sections())
        except FactoryError as error:
            mistaken[file.name] = error
    return mistaken


def described_line(name: str) -> "Line":
    """Return a line of the project as its file describes it; raises LineError, which says what was probably meant."""
    from factory.line.file import LineFile

    project = found_root()
    places = {file.parent.name: file for file in (project / "lines").glob("*/defs.yaml")} if project else {}
    require_line(name, places)
    if str(project) not in sys.path:
        sys.path.insert(0, str(project))
    file = LineFile(places[name])
    return file.line(file.sections())


def require_known_line(home: Home, line: str) -> None:
    """Raise LineError, which says what was probably meant, on a line that neither project nor home has."""
    require_line(line, known_lines(home))


def known_sites(home: Home, line: str = "") -> list[str]:
    """Return the sites that a home has anything of, at one line or at all, sorted."""
    pairs = map(line_and_site, _models(home))
    return sorted({site for at, site in pairs if line in ("", at)})


def _models(home: Home) -> list[str]:
    from factory.release import ModelRepository

    repository = ModelRepository.at(home)
    return [*repository.models(), *repository.site_history.models()]


def chosen(site: str, line: str, models: Iterable[str]) -> str:
    """Return the model that a person means. Raises NameRefused where there is none, or several."""
    known = sorted(models)
    if line:
        matching = [name for name in known if name == model_name(line, site)]
    else:
        matching = [name for name in known if model_parts(name)[1] == checked_name(site)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        lines = ", ".join(model_parts(name)[0] for name in matching)
        raise NameRefused(f"site {site!r} is at several lines: {lines}; say which with --line")
    raise NameRefused(
        f"nothing is known of site {site!r}{f' of line {line}' if line else ''}; {_meant(site, line, known)}"
        f"there are {few(known)}"
    )


def _meant(site: str, line: str, models: Iterable[str]) -> str:
    """Return the question after the likeliest line, where no line has that name, else after the likeliest site."""
    pairs = [line_and_site(model) for model in models]
    lines = {at for at, _ in pairs}
    if line and line not in lines:
        return meant(line, lines)
    return meant(site, {name for at, name in pairs if line in ("", at)} - {site})
