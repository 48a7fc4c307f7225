"""Which of these is it? One probability a class; what is not sure enough is handed to a person.

figures.py  log loss, accuracy, macro F1, calibration error; bootstrap
value.py    what a right and a wrong decision are worth, and the certainty from which to decide at all
head.py     the network's last part
pictures.py what a report draws
"""

from factory.tasks.multiclass.task import Multiclass
from factory.tasks.multiclass.value import MulticlassValue

__all__ = ["Multiclass", "MulticlassValue"]
