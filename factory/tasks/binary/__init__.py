"""Will it happen? One probability a row; decisions are alarms at a threshold.

figures.py  average precision, ROC AUC, log loss, calibration error; bootstrap
value.py    what a caught, a missed and a falsely alarmed case are worth, and the threshold that earns most
platt.py    calibration of the logit
head.py     the network's last part
pictures.py what a report draws
"""

from factory.tasks.binary.task import Binary
from factory.tasks.binary.value import BinaryValue

__all__ = ["Binary", "BinaryValue"]
