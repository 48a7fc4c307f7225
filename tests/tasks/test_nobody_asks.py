"""Nothing else asks which task a line has: no source names a kind of task but the tables in which each has a row."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from factory.model.answers import ANSWER_KINDS
from factory.scaffold.starting_points import STARTING_POINTS
from factory.tasks import TASKS

ROOT = Path(__file__).resolve().parents[2]
CLASSES = {task.__name__ for task in TASKS.values()}
MAY = {
    "factory/model/answers.py": "the gateway's table",
    "factory/scaffold/starting_points.py": "the table of new lines",
    "factory/scaffold/profiling/task.py": "infers from a column what a new line's task is",
    "factory/gateway/endpoints/openapi.py": "OpenAPI's word for bytes is that of a task, too",
    "factory/line/sections.py": "the line's file: the task of a line that names none",
}


def asked(source: str) -> Iterator[str]:
    """Yield each place of a source that names a kind of task or compares one."""
    for node in ast.walk(ast.parse(source)):
        place = f"line {getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Constant) and node.value in TASKS:
            yield f"{place}: {node.value!r}"
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("factory.tasks"):
            yield from (f"{place}: imports {name.name}" for name in node.names if name.name in CLASSES)
        if isinstance(node, ast.Attribute) and node.attr in CLASSES and _named(node.value) == "tasks":
            yield f"{place}: tasks.{node.attr}"
        compared = [node.left, *node.comparators] if isinstance(node, ast.Compare) else []
        subjects = [node.subject] if isinstance(node, ast.Match) else compared
        yield from (f"{place}: compares a task's kind" for subject in subjects if _is_kind(subject))


def _is_kind(node: ast.expr) -> bool:
    """Whether this is `….task` or `….task.kind`: a signature's word for its task, or the task's own."""
    if _named(node) == "task" and isinstance(node, ast.Attribute):
        return True
    return isinstance(node, ast.Attribute) and node.attr == "kind" and _named(node.value) == "task"


def _named(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def sources() -> list[Path]:
    files = [ROOT / "definitions.py"]
    files += [file for room in ("factory", "assets", "resources") for file in (ROOT / room).rglob("*.py")]
    return [file for file in files if not file.is_relative_to(ROOT / "factory" / "tasks")]


def test_no_module_asks_which_task_a_line_has():
    found = {str(file.relative_to(ROOT)): list(asked(file.read_text())) for file in sources()}
    assert len(found) > 200
    assert {name: places for name, places in found.items() if places and name not in MAY} == {}


def test_no_module_is_let_off_that_need_not_be():
    assert [name for name in MAY if not list(asked((ROOT / name).read_text()))] == []


@pytest.mark.parametrize(
    "source",
    [
        "a if signature.task == 'binary' else b",
        "{'regression': 1}[task.kind]",
        "kind in ('multiclass', other)",
        "from factory.tasks import Binary",
        "from factory.tasks.regression import Regression",
        "isinstance(line.task, tasks.Multiclass)",
        "line.task.kind == chosen",
        "chosen != manifest.model_signature.task",
        "match line.task.kind:\n    case _: pass",
    ],
)
def test_who_asks_is_found(source):
    assert list(asked(source))


@pytest.mark.parametrize("source", ["line.task.figures(label)", "STARTS[task.kind]", "pl.Binary", "task = line.task"])
def test_who_only_lets_the_task_answer_is_not(source):
    assert not list(asked(source))


def test_every_task_has_its_row_in_each_table():
    assert set(ANSWER_KINDS) == set(TASKS)
    assert set(STARTING_POINTS) == set(TASKS)
