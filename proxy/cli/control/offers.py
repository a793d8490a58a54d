"""`northgate list tools`, `usage`, `enable tool` and the like: what servers offer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from proxy.cli.control.api import Api, given
from proxy.cli.control.contents import print_json_text
from proxy.cli.control.credentials import Credentials
from proxy.cli.control.kinds import Offered
from proxy.cli.control.rows import cut, print_details, print_table, print_text
from proxy.cli.policy import console

_PLAIN: Final = frozenset(
    {"type", "properties", "required", "title", "description", "$schema", "additionalProperties"}
)


def list_them(credentials: Credentials, kind: Offered, *, server: str | None, json: bool) -> None:
    """Print all of a kind that the caller may see, or those of *server*."""
    wanted = given({"server": server})
    found = list(Api.of(credentials).pages(kind.path, f"{kind.noun}s", wanted))
    if json:
        console.print_json({f"{kind.noun}s": found})
        return
    print_table(
        (kind.identified.upper(), "STATE", "DESCRIPTION"),
        ([one[kind.identified], _state(one), cut(str(one["description"] or ""))] for one in found),
    )


def turn(
    credentials: Credentials,
    kind: Offered,
    name: str,
    what: str,
    *,
    why: str | None,
    json: bool,
) -> None:
    """Enable or disable one, or all of the server *name*, whichever *what* is."""
    document = {"entity": name} | given({"why": why})
    answer = Api.of(credentials).call("POST", f"{kind.path}/{what}", document=document)
    if json:
        console.print_json(answer)
        return
    count = console.counted(len(answer["names"]), kind.noun)
    console.out().print(f"{what.capitalize()}d: {count}.")
    for one in answer["names"]:
        console.out().print(console.visible(f"  {one}"))


def usage(credentials: Credentials, name: str, *, json: bool) -> None:
    """Print what a tool is for, and what it takes."""
    tool = Api.of(credentials).call("GET", "/api/v0/tool", parameters={"name": name})
    if json:
        console.print_json(tool)
        return
    title = tool.get("title")
    console.out().print(console.visible(f"{name}: {title}" if title else name))
    if tool.get("description"):
        print_text(f"\n{tool['description']}")
    if not tool["enabled"]:
        print_text("\nIt is disabled: nobody may call it.")
    elif tool["state"] != "approved":
        print_text(f"\nIt is {tool['state']}: see northgate definition list.")
    _print_schema(tool["input_schema"])
    hints = tool.get("annotations")
    if isinstance(hints, Mapping) and hints:
        print_text("\nWhat the server says of it:")
        print_details({f"  {key}": value for key, value in hints.items()})
    print_text(f"\nNext: northgate invoke {name} --input JSON")


def show_resource(credentials: Credentials, uri: str, *, json: bool) -> None:
    document = {"uri": uri}
    answer = Api.of(credentials).call("POST", "/api/v0/resources/get", document=document)
    if json:
        console.print_json(answer)
    else:
        print_details(answer)


def _state(one: Mapping[str, Any]) -> str:
    if not one["enabled"]:
        return "disabled"
    state = one.get("state", "approved")
    return "enabled" if state == "approved" else str(state)


def _print_schema(whole: object) -> None:
    schema = whole if isinstance(whole, Mapping) else {}
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or not properties:
        print_text("\nIt takes no arguments.")
    else:
        print_text("\nWhat it takes:")
        required = schema.get("required")
        wanted = required if isinstance(required, list) else []
        lines = (_argument(name, one, wanted) for name, one in properties.items())
        print_table(("  ARGUMENT", "TYPE", "", "DESCRIPTION"), lines)
    if not _is_plain(schema):
        print_text("\nAll of its schema:")
        print_json_text(schema)


def _argument(name: str, schema: object, required: Iterable[object]) -> list[str]:
    one = schema if isinstance(schema, Mapping) else {}
    description = one.get("description")
    return [
        f"  {name}",
        _type(one),
        "required" if name in required else "optional",
        " ".join(description.split()) if isinstance(description, str) else "",
    ]


def _type(schema: Mapping[str, Any]) -> str:
    """Return in a word or two what values are of *schema*."""
    match schema:
        case {"enum": [*values]}:
            return "one of " + ", ".join(map(str, values))
        case {"const": value}:
            return str(value)
        case {"type": "array", "items": {"type": str(inner)}}:
            return f"list of {inner}"
        case {"type": str(type_)}:
            return type_
        case {"type": [*types]}:
            return " or ".join(map(str, types))
    return "any"


def _is_plain(schema: Mapping[str, Any]) -> bool:
    """Tell whether the lines about arguments say all that matters in *schema*."""
    properties = schema.get("properties") or {}
    return schema.keys() <= _PLAIN and all(
        isinstance(one, Mapping)
        and one.get("type") not in {"object", "array"}
        and one.keys() <= {"type", "description", "title", "enum"}
        for one in (properties.values() if isinstance(properties, Mapping) else ())
    )
