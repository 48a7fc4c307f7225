"""An exception of a person's own Python in; where it was raised and the line of code there out."""

import linecache
import sysconfig
import traceback
from pathlib import Path

LOADING = (Exception, SystemExit)
"""What Python that is loaded may raise without stopping whoever loads it: all but a request to stop."""
_LIBRARIES = tuple(str(Path(sysconfig.get_path(kind)).resolve()) for kind in ("stdlib", "purelib", "platlib"))
_LIBRARY = str(Path(__file__).resolve().parents[1])


def python_mistake(error: BaseException) -> str:
    """Return `<file>:<line>: <kind>: <message>` of the innermost frame that is theirs; below it that line of code."""
    kind = type(error).__name__
    if isinstance(error, SyntaxError) and error.filename:
        place, code, message = f"{error.filename}:{error.lineno}", error.text or "", error.msg
    else:
        frame = _own_frame(error)
        place, code = (f"{frame.filename}:{frame.lineno}", frame.line or "") if frame else ("", "")
        message = str(error) or "no message"
    sentence = f"{place}: {kind}: {message}" if place else f"{kind}: {message}"
    return f"{sentence}\n    {code.strip()}" if code.strip() else sentence


def _own_frame(error: BaseException) -> traceback.FrameSummary | None:
    """Return the innermost frame outside Python's own and installed libraries, this one among them."""
    linecache.checkcache()
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_own(frame.filename)]
    return frames[-1] if frames else None


def _is_own(file: str) -> bool:
    return file.endswith(".py") and not str(Path(file).resolve()).startswith((*_LIBRARIES, _LIBRARY))
