"""The reference names every setting of the tree, and only those."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import get_args, get_origin

from pydantic import BaseModel

from proxy.config import Settings, reference


def settings_in(model: type[BaseModel], around: str = "") -> Iterator[str]:
    """Walk the model itself, not the shape that the reference is made from."""
    for name, field in model.model_fields.items():
        kind, key = field.annotation, f"{around}{name}"
        if get_origin(kind) is Mapping:
            key, kind = f"{key}.NAME", get_args(kind)[1]
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from settings_in(kind, f"{key}.")
        elif key != "warnings":
            yield key


def rows() -> list[list[str]]:
    return [line.strip("| ").split(" | ") for line in reference().splitlines()[2:]]


def test_every_setting_of_the_tree_has_one_row() -> None:
    assert [row[0].strip("`") for row in rows()] == list(settings_in(Settings))


def test_every_row_has_type_default_a_sentence_and_its_variable() -> None:
    for key, wanted, default, sentence, variable in rows():
        assert wanted
        assert default == "none" or default.startswith("`")
        assert sentence.endswith(".")
        expected = key.strip("`").upper().replace(".", "__")
        assert variable == f"`NORTHGATE_{expected}`"


def test_every_duration_and_size_has_its_unit_in_the_name() -> None:
    units = {"seconds": "Seconds", "ms": "Milliseconds", "bytes": "Bytes"}
    for key, _, _, sentence, _ in rows():
        unit = units.get(key.strip("`").rpartition("_")[2])
        assert sentence.split()[0] in units.values() or unit is None or "per_second" in key
        assert unit is None or sentence.startswith(unit)
