"""Options of the commands that look into a gateway's past."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

HERE: Final = Path("northgate-data")

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="The gateway's settings, which say where its data and database are.",
    ),
]
