"""Schemas from names: of types in the order in which they are named, of relations, and their reverses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, List, Mapping, Sequence, Tuple, Union

from gnnkit.data.typed import Relation, Schema
from gnnkit.data.typed_checks import check_schema
from gnnkit.errors import DataError, GnnkitError

RelationKey = Union[str, Tuple[str, str, str]]
"""A relation's source type, name and destination type, also as one text with colons between them."""


def parse_relation(key: Any, field: str = "edges") -> Tuple[str, str, str]:
    """Source type, name and destination type of a relation.

    Args:
        key: The three of them, or one text with colons between them. A name may have colons, a type has none.
        field: What messages call the place.

    Raises:
        DataError: It is neither.

    Example:
        >>> parse_relation("paper:http://example.org/cites:paper")
        ('paper', 'http://example.org/cites', 'paper')
    """
    parts = key
    if isinstance(key, str):
        src, _, rest = key.partition(":")
        name, _, dst = rest.rpartition(":")
        parts = (src, name, dst)
    is_triple = isinstance(parts, tuple) and len(parts) == 3 and all(isinstance(part, str) and part for part in parts)
    if not is_triple:
        expected = "(source type, name, destination type), or 'src:name:dst'"
        raise DataError(field, f"the relation is {key!r}, expected {expected}.")
    return parts  # type: ignore[no-any-return]


def schema_of(relations: Sequence[Tuple[str, str, str]], named: Sequence[Any], reverses: Mapping[Any, Any]) -> Schema:
    """The schema of relations and of types in the order in which they are named.

    Args:
        relations: Source type, name and destination type of each.
        named: Collections of names of types, or of relations; a list that names a type twice is refused.
        reverses: By relation, its reverse.

    Raises:
        DataError: A name or a reverse breaks a rule.

    Example:
        >>> schema_of([("a", "r", "b")], [["b"], [("a", "r", "b")]], {}).node_types
        ('b', 'a')
    """
    schema = Schema(_node_types(named), tuple(Relation(*key) for key in relations))
    check_schema(schema)
    return _with_reverses(schema, reverses)


def _node_types(named: Sequence[Any]) -> Tuple[str, ...]:
    """All types as they are named first; a list is taken as it is."""
    types: List[str] = []
    for names in named:
        for key in names or ():
            ends = (key[0], key[2]) if isinstance(key, tuple) else (key,)
            is_given = isinstance(names, (list, tuple)) and not isinstance(key, tuple)
            types.extend(name for name in ends if is_given or name not in types)
    return tuple(types)


def _with_reverses(schema: Schema, reverses: Mapping[Any, Any]) -> Schema:
    relations = list(schema.relations)
    for key, value in reverses.items():
        first, second = (_place(schema, each) for each in (key, value))
        for here, there in ((first, second), (second, first)):
            if relations[here].reverse not in (None, there):
                raise DataError("reverses", f"{str(relations[here])!r} has two reverses, expected one.")
            relations[here] = replace(relations[here], reverse=there)
    changed = Schema(schema.node_types, tuple(relations))
    check_schema(changed)
    return changed


def _place(schema: Schema, key: RelationKey) -> int:
    try:
        return schema.relation(key if isinstance(key, str) else ":".join(parse_relation(key, "reverses")))
    except DataError:
        raise
    except GnnkitError as error:
        raise DataError("reverses", str(error)) from None
