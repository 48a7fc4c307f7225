"""Runs the toy line as `definitions.py` runs a project's lines: `python -m tests.toy.command HOME WORDS…`."""

import sys
from pathlib import Path

from factory.orchestration.command import main
from tests.toy.line import ToyFactory

if __name__ == "__main__":
    home = Path(sys.argv[1])
    sys.exit(main(sys.argv[2:], ToyFactory(home).definitions, home))
