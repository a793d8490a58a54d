"""What tools, prompts and resources give: written to the terminal, or saved as files."""

from __future__ import annotations

import base64
import binascii
import json
import mimetypes
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from proxy.cli.control.endings import CommandError
from proxy.cli.control.rows import print_text
from proxy.cli.policy import console

_UNFIT: Final = re.compile(r"[^A-Za-z0-9._-]+")
_MOST_NAME: Final = 64
_USUAL: Final = ".bin"
_SUFFIX: Final = re.compile(r"\.[A-Za-z0-9]{1,8}")


@dataclass(frozen=True, slots=True)
class Binary:
    """Something that is no text, and of what media type it says to be."""

    media: str
    data: bytes


Piece = str | Binary


def pieces_of(blocks: Sequence[Mapping[str, Any]]) -> list[Piece]:
    """Return what the content blocks of an answer hold. Raises `CommandError`."""
    return [_piece(block) for block in blocks]


def pieces_read(contents: Sequence[Mapping[str, Any]]) -> list[Piece]:
    """Return what the contents of a resource hold. Raises `CommandError`."""
    return [_resource(one) for one in contents]


def tell(pieces: Sequence[Piece], directory: Path, name: str) -> None:
    """Write texts to stdout, and save the rest in *directory* in new files called after *name*.

    Raises `CommandError`; then nothing was overwritten all the same.
    """
    for piece in pieces:
        if isinstance(piece, str):
            print_text(piece)
        else:
            path = _saved(piece, directory, name)
            size = console.counted(len(piece.data), "byte")
            console.err().print(console.visible(f"{piece.media}, {size}, is in {path}"))


def print_json_text(document: object) -> None:
    """Write *document* to stdout, in ASCII."""
    print_text(json.dumps(document, indent=2))


def says_the_same(pieces: Sequence[Piece], document: object) -> bool:
    """Tell whether one of *pieces* is *document* as text."""
    for piece in pieces:
        try:
            if isinstance(piece, str) and json.loads(piece) == document:
                return True
        except (ValueError, RecursionError):
            continue
    return False


def _piece(block: Mapping[str, Any]) -> Piece:
    match block:
        case {"type": "text", "text": str(text)}:
            return text
        case {"type": "image" | "audio", "data": str(data)}:
            return Binary(_media(block), _decoded(data))
        case {"type": "resource", "resource": {**resource}}:
            return _resource(resource)
        case {"type": "resource_link", "uri": str(uri)}:
            return f"See {uri}"
    return json.dumps(block, indent=2)


def _resource(one: Mapping[Any, Any]) -> Piece:
    match one:
        case {"text": str(text)}:
            return text
        case {"blob": str(data)}:
            return Binary(_media(one), _decoded(data))
    return json.dumps(one, indent=2)


def _media(block: Mapping[Any, Any]) -> str:
    media = block.get("mimeType")
    return media if isinstance(media, str) else "application/octet-stream"


def _decoded(data: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except (ValueError, binascii.Error):
        message = "The answer holds data that is not in base 64."
        raise CommandError("bad-content", message, "See it as it came with --json.") from None


def _saved(piece: Binary, directory: Path, name: str) -> Path:
    guessed = mimetypes.guess_extension(piece.media.partition(";")[0].strip().lower()) or ""
    suffix = guessed if _SUFFIX.fullmatch(guessed) else _USUAL
    stem = _UNFIT.sub("_", name).strip("._")[:_MOST_NAME] or "content"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for path in _places(directory, stem, suffix):
            try:
                _write_new(path, piece.data)
            except FileExistsError:
                continue
            return path
    except OSError as error:
        message = f"The answer cannot be saved in {directory}: {error.strerror}."
        raise CommandError("not-saved", message, "Name another place with --output.") from None
    raise CommandError("not-saved", f"{directory} is full of such files.")


def _places(directory: Path, stem: str, suffix: str) -> Iterator[Path]:
    for number in range(1, 10_000):
        yield directory / f"{stem}-{number}{suffix}"


def _write_new(path: Path, data: bytes) -> None:
    # Exclusively, so that neither a file nor what a link points to is ever written over.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
