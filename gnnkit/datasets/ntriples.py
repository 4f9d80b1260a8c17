"""RDF in the form of N-Triples: reading ``.nt`` files, also packed ones, and writing them.

Rules: a line is one triple of subject, predicate and object; names are compared after escapes are resolved. A literal
is one node for each different text with its type or language.

From the W3C recommendation "RDF 1.1 N-Triples", 2014.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Iterator, List, Tuple

from gnnkit.errors import DatasetError
from gnnkit.io.text import decoded, read_bytes, unpacked_text

ENDINGS = (".nt", ".nt.gz")
"""How the names of such files end."""

_IRI = r"<[^\x00-\x20<>\"{}|^`]*>"
_BLANK = r"_:[^\s<>\"]+"
_LITERAL = r"\"(?:[^\"\\\n\r]|\\.)*\"(?:\^\^" + _IRI + r"|@[A-Za-z0-9-]+)?"
_TRIPLE = re.compile(rf"\s*({_IRI}|{_BLANK})\s*({_IRI})\s*({_IRI}|{_BLANK}|{_LITERAL})\s*\.\s*(?:#.*)?")
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|.)")
_ESCAPED = {"t": "\t", "b": "\b", "n": "\n", "r": "\r", "f": "\f", '"': '"', "'": "'", "\\": "\\"}
_LONGEST_SHOWN = 60


def read_ntriples(file: Path) -> List[Tuple[str, str, str]]:
    """Read all triples.

    Args:
        file: A file of N-Triples in UTF-8, packed if its name ends in ``.gz``.

    Returns:
        Subject, predicate and object of each line, in the order of the file. IRIs come without their brackets, blank
        nodes with ``_:``, literals with their quotes and what follows them.

    Raises:
        DatasetError: It cannot be read, or a line is no triple; the message names the line.
    """
    content = unpacked_text(file) if file.suffix == ".gz" else read_bytes(file)
    return list(_triples(decoded(content, file), file))


def is_literal(name: str) -> bool:
    """Whether an object is a literal.

    Example:
        >>> is_literal('"1994"'), is_literal("http://example.org/1994")
        (True, False)
    """
    return name.startswith('"')


def _triples(text: str, file: Path) -> Iterator[Tuple[str, str, str]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _TRIPLE.fullmatch(line)
        if found is None:
            shown = line.strip()
            shown = shown if len(shown) <= _LONGEST_SHOWN else shown[:_LONGEST_SHOWN] + "..."
            expected = "expected '<subject> <predicate> <object> .'"
            raise DatasetError(f"{file}, line {number}: {shown!r} is no triple, {expected}. Is the file cut short?")
        subject, predicate, target = (_resolved(term) for term in found.groups())
        yield subject, predicate, target


def _resolved(term: str) -> str:
    """A term without brackets and escapes."""
    inner = term[1:-1] if term.startswith("<") else term
    return _ESCAPE.sub(_character, inner) if "\\" in inner else inner


def _character(found: re.Match[str]) -> str:
    code = found.group(1)
    if code[0] in "uU" and len(code) > 1:
        number = int(code[1:], 16)
        # Half of a pair and what is beyond the last character are no characters, and stay as they are written.
        return chr(number) if number < 0xD800 or 0xE000 <= number < 0x110000 else found.group()
    return _ESCAPED.get(code, found.group())
