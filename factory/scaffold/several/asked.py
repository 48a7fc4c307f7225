"""What a person says of several tables, and the questions that only a person can answer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from factory.errors import LineError


@dataclass(frozen=True, kw_only=True)
class AskedOfTables:
    """What a person said; empty where not said."""

    tables: Mapping[str, str]
    """A table's name in the line → where it is."""
    of: str = ""
    """The table of the things that are decided about, one row each."""
    event: str = ""
    """The table whose rows are what is to be foreseen."""
    horizon: str = ""
    """Within which length of time an event is foreseen, such as 7d."""
    every: str = "1d"
    """How far decisions lie apart."""
    at: str = "00:00"
    """The time of day of a day's first decision, UTC."""
    site: str = ""
    """The column of the things' table that names the site, by its name in the table."""
    times: Mapping[str, str] = field(default_factory=dict)
    """A table → its column with the moment at which its rows happened."""
    source: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """A table → what else the source must know of it."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """What the tables do not say, and how it is said on the command line."""

    flag: str
    text: str
    """Why it must be said, as a sentence without its full stop."""
    candidates: Sequence[str]
    """What it can be; empty: anything."""
    prefix: str = ""
    """What stands before the answer behind the flag, such as the table of a `--time`."""

    def checked(self, answer: str) -> str:
        """Return the answer; raises LineError where it is none of the candidates."""
        if self.candidates and answer not in self.candidates:
            near = get_close_matches(answer, self.candidates, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise LineError(f"--{self.flag} {self.prefix}{answer}: {hint}it can be {', '.join(self.candidates)}")
        return answer


Ask = Callable[[Question], str]
"""Returns a person's answer; raises where there is nobody to ask."""


def nobody(question: Question) -> str:
    """Refuse to guess: raises LineError that says what to write."""
    which = " or ".join(f"--{question.flag} {question.prefix}{one}" for one in question.candidates[:8])
    raise LineError(f"{question.text}; say {which or f'--{question.flag} {question.prefix}VALUE'}")
