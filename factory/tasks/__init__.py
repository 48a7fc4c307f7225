"""What kind of answer a line gives, a small closed set: binary, multiclass, regression with intervals.

Labels, figures of merit, money, baseline, loss and calibration all come from the line's task, so nothing else in the
factory asks which task it has. To add one: a package beside these that keeps `Task`, and a row in TASKS; a row in
`factory.model.answers`, by which the gateway decides; and one in `factory.scaffold.starting_points`, by which new lines
begin.

    task.py      the interface of every task
    binary/      will it happen? one probability
    multiclass/  which of these is it? one probability a class
    regression/  how much? an estimate, and an interval that holds it as often as promised
"""

from factory.tasks.binary import Binary
from factory.tasks.multiclass import Multiclass
from factory.tasks.regression import Regression
from factory.tasks.task import Task, Value

TASKS: dict[str, type[Task]] = {task.kind: task for task in (Binary, Multiclass, Regression)}

__all__ = ["TASKS", "Binary", "Multiclass", "Regression", "Task", "Value"]
