"""Prompts and resources that the official conformance suite asks for, and what they are made of."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Callable
from typing import Any, Final

from mcp.server import MCPServer
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp.types import AudioContent, EmbeddedResource, ImageContent, TextResourceContents


def _png() -> bytes:
    """Return a picture of one red pixel."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        whole = kind + content
        return struct.pack(">I", len(content)) + whole + struct.pack(">I", zlib.crc32(whole))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0\xff\0\0")
    signature = b"\x89PNG\r\n\x1a\n"
    return signature + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def _wav() -> bytes:
    """Return a moment of silence."""
    form = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 8000, 1, 8)
    content = b"WAVE" + form + b"data" + struct.pack("<I", 2) + b"\x80\x80"
    return b"RIFF" + struct.pack("<I", len(content)) + content


_PNG: Final = _png()
IMAGE: Final = ImageContent(data=base64.b64encode(_PNG).decode(), mime_type="image/png")
AUDIO: Final = AudioContent(data=base64.b64encode(_wav()).decode(), mime_type="audio/wav")


def embedded(uri: str, mime_type: str, text: str) -> EmbeddedResource:
    contents = TextResourceContents(uri=uri, mime_type=mime_type, text=text)
    return EmbeddedResource(resource=contents)


# Prompts.


def test_simple_prompt() -> str:
    """Say something."""
    return "This is a simple prompt for testing."


def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
    """Say two things."""
    return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"


def test_prompt_with_embedded_resource(
    resourceUri: str,  # noqa: N803  as the suite calls it
) -> list[UserMessage]:
    """Show a resource."""
    shown = embedded(resourceUri, "text/plain", "Embedded resource content for testing.")
    return [UserMessage(shown), UserMessage("Please process the embedded resource above.")]


def test_prompt_with_image() -> list[UserMessage]:
    """Show an image."""
    return [UserMessage(IMAGE), UserMessage("Please analyze the image above.")]


# Resources.


def static_text() -> str:
    """Read the text that is always there."""
    return "This is the content of the static text resource."


def static_binary() -> bytes:
    """Read the picture that is always there."""
    return _PNG


def watched() -> str:
    """Read what may be subscribed to."""
    return "Watched resource content."


def templated(id: str) -> str:  # noqa: A002  the name in the template
    """Read one of many."""
    return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})


_PROMPTS: Final[tuple[Callable[..., Any], ...]] = (
    test_simple_prompt, test_prompt_with_arguments, test_prompt_with_embedded_resource,
    test_prompt_with_image,
)  # fmt: skip
_RESOURCES: Final[tuple[tuple[str, str, Callable[..., Any]], ...]] = (
    ("test://static-text", "text/plain", static_text),
    ("test://static-binary", "image/png", static_binary),
    ("test://watched-resource", "text/plain", watched),
    ("test://template/{id}/data", "application/json", templated),
)


def offer_prompts(server: MCPServer) -> None:
    for prompt in _PROMPTS:
        server.prompt()(prompt)


def offer_resources(server: MCPServer) -> None:
    for uri, mime_type, read in _RESOURCES:
        server.resource(uri, mime_type=mime_type)(read)
