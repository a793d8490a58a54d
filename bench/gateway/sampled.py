"""The gateway under a sampler: `python -m bench.gateway.sampled FILE serve --config SETTINGS`.

From SIGUSR1 on it looks, after each millisecond of processor time, at what the main thread is in;
at its end it writes to FILE how often that was each of our functions, as JSON. Time in a library
belongs to the function of ours that called it; time outside all of them, to the event loop.
"""

from __future__ import annotations

import json
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Final

from proxy.cli import main

EVENT_LOOP: Final = "event loop"

_SECONDS: Final = 0.001
_ROOT: Final = f"{Path(main.__file__).parents[2]}/"
_PLACES: Final = ("proxy/", "policies/", "storage/", "<policy>")
_LIBRARIES: Final = ("aiohttp/", "multidict/", "yarl/")
_OUTSIDE: Final = ("proxy/cli/",)


def _place(frame: FrameType | None) -> str:
    while frame is not None:
        file = frame.f_code.co_filename.removeprefix(_ROOT)
        library = next((name for name in _LIBRARIES if f"/{name}" in file), None)
        if library is not None:
            return library
        if file.startswith(_PLACES) and not file.startswith(_OUTSIDE):
            return f"{file} {frame.f_code.co_qualname}"
        frame = frame.f_back
    return EVENT_LOOP


def run(file: Path) -> None:
    """Run the command that the arguments name, and write what was seen to *file*."""
    seen: Counter[str] = Counter()

    def look(_number: int, frame: FrameType | None) -> None:
        seen[_place(frame)] += 1

    def begin(_number: int, _frame: FrameType | None) -> None:
        signal.setitimer(signal.ITIMER_PROF, _SECONDS, _SECONDS)

    signal.signal(signal.SIGPROF, look)
    signal.signal(signal.SIGUSR1, begin)
    try:
        main.main()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        file.write_text(json.dumps(seen))


if __name__ == "__main__":
    run(Path(sys.argv.pop(1)))
