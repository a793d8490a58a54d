"""`northgate serve` with these arguments, again and again, having been imported only once.

Each line of input starts a process of its own, which is a whole gateway; its id is printed, and
when it has ended its exit code, negative for a signal.
"""

from __future__ import annotations

import os
import sys

import proxy.cli.serving  # noqa: F401  it is what takes so long
from proxy.cli.main import main


def serve() -> None:
    for target in (0, 1, 2):
        os.dup2(os.open(os.devnull, os.O_RDWR), target)
    sys.argv = ["northgate", "serve", *sys.argv[1:]]
    main()


def serve_again_and_again() -> None:
    while sys.stdin.readline():
        child = os.fork()
        if child == 0:
            serve()
        os.write(1, b"%d\n" % child)
        _, status = os.waitpid(child, 0)
        os.write(1, b"%d\n" % os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    serve_again_and_again()
