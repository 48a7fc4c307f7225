"""How much? An estimate, and an interval around it that holds the outcome as often as the line asks.

figures.py  root mean squared error, mean absolute error, coverage and width of the interval
value.py    what acting too high or too low costs, and the margin that costs least
head.py     the network's last part: quantiles, widened on validation rows until they keep their promise
pictures.py what a report draws
"""

from factory.tasks.regression.task import Regression
from factory.tasks.regression.value import RegressionValue

__all__ = ["Regression", "RegressionValue"]
