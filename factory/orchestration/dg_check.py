"""`dg check yaml` and `dg check defs`, which look at one file of a component's type, made to look at all of them.

`dg` keeps the files it is to check by their type, so that of a project's lines only the last is checked, and it tells
of a mistake deep in a section as one of the whole section. It asks a component for its schema at that moment: in these
commands, and nowhere else, the lines are checked by the factory itself then, and mistakes end the command.
"""

from pathlib import Path

import click

from factory.storage.project import found_root

COMMANDS = ("dg check yaml", "dg check defs")


def report_to_dg() -> None:
    """Print every mistake in the lines that `dg` was asked to check, and end its command; otherwise do nothing."""
    command = click.get_current_context(silent=True)
    root = found_root()
    if command is None or root is None or command.command_path not in COMMANDS:
        return
    from factory.orchestration.lines import checked, folders

    asked = [Path(path).resolve() for path in command.params.get("paths", ())]
    lines = [folder.stem for folder in folders(root) if _is_asked(folder.resolve(), asked)]
    mistakes = [error for line in lines for error in checked(root, line).mistakes]
    for error in mistakes:
        click.echo(str(error))
    if mistakes and not command.params.get("watch"):
        command.exit(1)


def _is_asked(folder: Path, asked: list[Path]) -> bool:
    return not asked or any(folder == path or folder.is_relative_to(path) or path.parent == folder for path in asked)
