"""Ways to damage a file: what disks, copies and people do to it.

Rules: everything depends on the random numbers that are handed in, so that each input can be made again.
"""

from __future__ import annotations

import random
import re
import struct
import zipfile
import zlib
from io import BytesIO
from typing import Callable, List

_WORDS = (
    b"[" * 3000,
    b"{" * 3000,
    b'{"a":' * 2000,
    b"NaN",
    b"1e999",
    b"-1",
    b"9" * 19,
    b"9" * 5000,
    b"18446744073709551616",
    b"9223372036854775808",
    b"1099511627776",
    b"300000000",
    b"${oc.env:HOME}",
    b"*a",
    b"&a [*a]",
    b"!!python/object/apply:os.system [touch HIT]",
    b"\x00",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b",",
    b"\n",
    b"\r",
    b'"',
    b"../../x",
    b"=cmd|'/c calc'!A0",
    b"true",
    b"null",
    b"(",
    b"'",
    b"cos\nsystem\n(S'touch HIT'\ntR.",
    b"c__builtin__\neval\n(S'1'\ntR.",
)
_NUMBERS = (0, 1, -1, 127, 255, 1 << 15, (1 << 31) - 1, 1 << 31, 1 << 32, 1 << 40, 1 << 62, (1 << 63) - 1, 1 << 63)

Mutator = Callable[[bytearray, random.Random], None]


def _flip(content: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def _flip_early(content: bytearray, rng: random.Random) -> None:
    content[rng.randrange(min(len(content), 128))] ^= 1 << rng.randrange(8)


def _byte(content: bytearray, rng: random.Random) -> None:
    content[rng.randrange(len(content))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))


def _cut(content: bytearray, rng: random.Random) -> None:
    del content[rng.randrange(len(content)) :]


def _drop(content: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(content))
    del content[start : start + rng.choice((1, 4, 16, 64))]


def _repeat(content: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(content))
    piece = bytes(content[start : start + rng.choice((1, 8, 64, 512))])
    content[start:start] = piece * rng.choice((1, 2, 50))


def _swap(content: bytearray, rng: random.Random) -> None:
    one, other, width = rng.randrange(len(content)), rng.randrange(len(content)), rng.choice((1, 4, 16))
    piece = bytes(content[one : one + width])
    content[one : one + width] = content[other : other + width]
    content[other : other + width] = piece


def _word(content: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(content) + 1)
    content[start : start + rng.choice((0, 0, 4))] = rng.choice(_WORDS)


def _integer(content: bytearray, rng: random.Random) -> None:
    width, sign = rng.choice((("<q", 8), ("<i", 4), (">i", 4), ("<h", 2)))
    value = rng.choice(_NUMBERS) & ((1 << 8 * sign) - 1)
    start = rng.randrange(max(1, len(content) - sign))
    content[start : start + sign] = struct.pack(width.upper(), value)


def _digits(content: bytearray, rng: random.Random) -> None:
    """Another number in the place of one in text."""
    found = list(re.finditer(rb"-?\d+", bytes(content[: 1 << 16])))
    if found:
        place = rng.choice(found)
        content[place.start() : place.end()] = str(rng.choice((*_NUMBERS, 10**30, 0.5, "x", "[]"))).encode()


def _value(content: bytearray, rng: random.Random) -> None:
    """Another value in the place of one in JSON or YAML."""
    found = list(re.finditer(rb'"[^"\\]*"|\btrue\b|\bfalse\b|\bnull\b|-?\d+\.?\d*', bytes(content[: 1 << 16])))
    if found:
        place = rng.choice(found)
        new = (b"{}", b"[]", b"[[1]]", b'{"a": {}}', b"null", b'"text"', b"-5", b"1e400", b'"' + b"x" * 9000 + b'"')
        content[place.start() : place.end()] = rng.choice(new)


def _nothing(content: bytearray, rng: random.Random) -> None:
    del content[:]


MUTATORS: List[Mutator] = [_flip] * 4 + [_flip_early] * 2 + [_digits] * 2 + [_value] * 2
MUTATORS += [_byte, _cut, _drop, _repeat, _swap, _word, _integer]


def mutated(content: bytes, rng: random.Random) -> bytes:
    """A file that is damaged once to four times.

    A zip file is packed anew around a damaged member half of the time, so that its checksum is right.
    """
    if content.startswith(b"PK") and rng.random() < 0.5:
        return _with_damaged_member(content, rng)
    changed = bytearray(content)
    if rng.random() < 0.01:
        _nothing(changed, rng)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        if changed:
            rng.choice(MUTATORS)(changed, rng)
    return bytes(changed)


def _with_damaged_member(content: bytes, rng: random.Random) -> bytes:
    written = BytesIO()
    with zipfile.ZipFile(BytesIO(content)) as archive, zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as made:
        names = archive.namelist()
        chosen = rng.choice(names)
        for name in names:
            held = archive.read(name)
            made.writestr(name, mutated(held, rng) if name == chosen and not held.startswith(b"PK") else held)
    return written.getvalue()


def unpacked_and_damaged(content: bytes, rng: random.Random) -> bytes:
    """A gzip file whose text is damaged and packed anew, or the file itself damaged."""
    if rng.random() < 0.3:
        return mutated(content, rng)
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    return packer.compress(mutated(zlib.decompress(content, 31), rng)) + packer.flush()
