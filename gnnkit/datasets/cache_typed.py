"""What has a type in a saved graph: how ``meta.json`` describes it.

Rules: names of types are free text, so they are keys of JSON and never names of files. Values are checked as those of
the whole graph are, when it is opened.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping

from torch import Tensor

from gnnkit.data import Relation, Schema, Typed

_BY_NAME = ("x", "y", "edge_attr")
_GROUPS = ("splits", "node_data", "edge_data")
_NAMES = ("class_names", "feature_names")


def typed_entries(typed: Typed, write: Callable[[Tensor], Any]) -> Dict[str, Any]:
    """Write all arrays; what ``meta.json`` says of them and of the schema.

    Args:
        typed: What has a type.
        write: Writes an array and returns its entry.
    """
    schema = typed.schema
    relations = [[each.src, each.name, each.dst, each.reverse] for each in schema.relations]
    entries: Dict[str, Any] = {"node_types": list(schema.node_types), "relations": relations}
    entries.update(node_type=write(typed.node_type), edge_type=write(typed.edge_type))
    for field in _BY_NAME:
        entries[field] = {name: write(rows) for name, rows in getattr(typed, field).items()}
    for field in _GROUPS:
        held = getattr(typed, field)
        entries[field] = {name: {key: write(rows) for key, rows in arrays.items()} for name, arrays in held.items()}
    for field in _NAMES:
        entries[field] = {name: list(names) for name, names in getattr(typed, field).items()}
    if typed.node_categories:
        entries["node_categories"] = {name: list(sizes) for name, sizes in typed.node_categories.items()}
    return entries


def typed_of(entries: Mapping[str, Any], open_array: Callable[[Mapping[str, Any]], Tensor]) -> Typed:
    """The inverse of :func:`typed_entries`.

    Raises:
        ValueError: Something is of another kind than what was written.
    """
    fields: Dict[str, Any] = {name: open_array(entries[name]) for name in ("node_type", "edge_type")}
    for field in _BY_NAME:
        fields[field] = {name: open_array(entry) for name, entry in entries[field].items()}
    for field in _GROUPS:
        held = entries[field]
        fields[field] = {name: {key: open_array(each) for key, each in group.items()} for name, group in held.items()}
    for field in _NAMES:
        fields[field] = {name: tuple(_texts(names)) for name, names in entries[field].items()}
    sizes = entries.get("node_categories", {})
    fields["node_categories"] = {name: tuple(_numbers(values)) for name, values in sizes.items()}
    relations = tuple(_relation(each) for each in entries["relations"])
    return Typed(Schema(tuple(_texts(entries["node_types"])), relations), **fields)


def _relation(entry: Any) -> Relation:
    src, name, dst, reverse = entry
    _texts([src, name, dst])
    if reverse is not None and type(reverse) is not int:
        raise ValueError(f"the reverse of a relation is {str(reverse)[:40]}, expected a whole number")
    return Relation(src, name, dst, reverse)


def _numbers(values: Any) -> List[int]:
    if not isinstance(values, list) or any(type(value) is not int for value in values):
        raise ValueError("a list of whole numbers is none")
    return values


def _texts(values: Any) -> List[str]:
    if not isinstance(values, list) or any(not isinstance(value, str) for value in values):
        raise ValueError("a list of names is none")
    return values
