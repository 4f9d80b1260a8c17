"""Counter-based random numbers: every number is a function of what it is for, not of what was drawn before.

Rules: a stream belongs to a key made from (seed, epoch, batch, hop, node), so a sample depends neither on threads nor
on where a run was resumed. Number i of a stream is ``mix64(key + (i + 1) * GOLDEN)``: the SplitMix64 generator of
Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (OOPSLA 2014), with the finaliser that they
took from Stafford's search for better bit mixing ("Mix13"). All arithmetic is modulo 2^64 on unsigned integers; mixing
signed and unsigned integers in a kernel would turn both into floats.
"""

from __future__ import annotations

from typing import Tuple

import numpy as np
from numpy.typing import NDArray

from gnnkit.jit import kernel

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""Step between the counters of a stream: 2^64 divided by the golden ratio, odd."""

_FACTOR_1 = np.uint64(0xBF58476D1CE4E5B9)
_FACTOR_2 = np.uint64(0x94D049BB133111EB)
_SHIFT_1, _SHIFT_2, _SHIFT_3 = np.uint64(30), np.uint64(27), np.uint64(31)
_SHIFT_WORD, _SHIFT_UNIT = np.uint64(32), np.uint64(11)
_LOW_WORD = np.uint64(0xFFFFFFFF)
_TWO_32 = np.uint64(1 << 32)
_MASK = (1 << 64) - 1


@kernel
def mix64(value: np.uint64) -> np.uint64:
    """Scramble 64 bits, one to one, so that any change of the input changes each output bit with probability 1/2."""
    value = (value ^ (value >> _SHIFT_1)) * _FACTOR_1
    value = (value ^ (value >> _SHIFT_2)) * _FACTOR_2
    return value ^ (value >> _SHIFT_3)


@kernel
def derive(key: np.uint64, word: np.uint64) -> np.uint64:
    """The key of a sub-stream: one to one in ``word`` for a given key, and in ``key`` for a given word."""
    return mix64(key ^ mix64(word + GOLDEN))


@kernel
def next_bits(state: np.uint64) -> Tuple[np.uint64, np.uint64]:
    """The next 64 random bits of a stream, and its state after them. A stream's first state is its key."""
    state = state + GOLDEN
    return mix64(state), state


@kernel
def next_below(state: np.uint64, bound: int) -> Tuple[np.int64, np.uint64]:
    """A uniform integer in [0, bound) without bias, for 1 <= bound < 2^32, and the state after it.

    Lemire, "Fast random integer generation in an interval" (2019), on 32-bit words.
    """
    width = np.uint64(bound)
    bits, state = next_bits(state)
    product = (bits >> _SHIFT_WORD) * width
    if (product & _LOW_WORD) < width:
        threshold = (_TWO_32 - width) % width
        while (product & _LOW_WORD) < threshold:
            bits, state = next_bits(state)
            product = (bits >> _SHIFT_WORD) * width
    return np.int64(product >> _SHIFT_WORD), state


@kernel
def next_unit(state: np.uint64) -> Tuple[float, np.uint64]:
    """A uniform float64 in (0, 1], a multiple of 2^-53, and the state after it."""
    bits, state = next_bits(state)
    return (np.float64(bits >> _SHIFT_UNIT) + 1.0) * 2.0**-53, state


def stream_key(*words: int) -> np.uint64:
    """The key of a stream, from integers that say what it is for.

    Args:
        *words: For the sampler (seed, epoch, batch, hop); it derives the node's key from this one. Only the lowest
            64 bits of each count.

    Returns:
        A key. Different words, or words in another order, give unrelated streams.
    """
    key = np.uint64(0)
    for word in words:
        key = np.uint64(derive(key, np.uint64(int(word) & _MASK)))
    return key


def uniform_by_id(ids: NDArray[np.int64], *words: int) -> NDArray[np.float64]:
    """A random number for each id, the same whichever ids it stands among.

    Args:
        ids: Node ids, or numbers of other things. Shape [n].
        *words: What else the numbers are for, such as seed and epoch.

    Returns:
        Uniform in (0, 1]. Shape [n].

    Example:
        >>> bool(uniform_by_id(np.array([7, 9]), 0, 1)[1] == uniform_by_id(np.array([9]), 0, 1)[0])
        True
    """
    found = np.empty(len(ids))
    _fill_uniform(stream_key(*words), np.ascontiguousarray(ids, dtype=np.int64), found)
    return found


def row_keys(ids: NDArray[np.int64], *words: int) -> NDArray[np.int64]:
    """A key for each id, the same whichever ids it stands among: for a stream of random numbers of its own.

    Args:
        ids: Node ids, or numbers of other things. Shape [n].
        *words: What else the keys are for, such as seed, epoch, batch and layer.

    Returns:
        Any of the 2^64 numbers. Shape [n].

    Example:
        >>> bool(row_keys(np.array([7, 9]), 0, 1)[1] == row_keys(np.array([9]), 0, 1)[0])
        True
    """
    found = np.empty(len(ids), dtype=np.uint64)
    _fill_keys(stream_key(*words), np.ascontiguousarray(ids, dtype=np.int64), found)
    return found.view(np.int64)


@kernel
def _fill_keys(key: np.uint64, ids: NDArray[np.int64], found: NDArray[np.uint64]) -> None:
    for i in range(len(ids)):
        found[i] = derive(key, np.uint64(ids[i]))


@kernel
def _fill_uniform(key: np.uint64, ids: NDArray[np.int64], found: NDArray[np.float64]) -> None:
    for i in range(len(ids)):
        found[i], _ = next_unit(derive(key, np.uint64(ids[i])))


def shuffle_order(num: int, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order in which an epoch visits ``num`` things.

    Args:
        num: How many there are.
        seed: The run's seed.
        epoch: Number of the epoch.

    Returns:
        A permutation of 0 to num - 1, int64, from NumPy's Philox generator keyed by (seed, epoch).
    """
    key = np.array([int(seed) & _MASK, int(epoch) & _MASK], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key)).permutation(num).astype(np.int64, copy=False)
