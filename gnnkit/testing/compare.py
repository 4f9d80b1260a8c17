"""Comparisons that say what is wrong and where."""

from __future__ import annotations

from typing import Any, Callable, Mapping, Type

from torch import Tensor


def compare(what: str, received: Tensor, expected: Tensor, tolerance: float) -> None:
    """Refuse values that differ by more than ``tolerance`` times the larger of 1 and the largest expected value.

    Raises:
        AssertionError: With the largest difference and where it is.
    """
    received, expected = received.detach().double().cpu(), expected.detach().double().cpu()
    shapes = list(received.shape), list(expected.shape)
    assert shapes[0] == shapes[1], f"{what} has shape {shapes[0]}, expected {shapes[1]}."
    if not expected.numel():
        return
    assert bool(received.isfinite().all()), f"{what} is not finite."
    difference = (received - expected).abs()
    largest = float(difference.max())
    if largest > tolerance * max(1.0, float(expected.abs().max())):
        place = tuple(int(i) for i in (difference == largest).nonzero()[0])
        raise AssertionError(
            f"{what} is {float(received[place]):.6g}{f' at {list(place)}' if place else ''}, "
            f"expected {float(expected[place]):.6g}."
        )


def compare_states(received: Mapping[str, Tensor], expected: Mapping[str, Tensor], when: str, tolerance: float) -> None:
    """Refuse weights that differ, by name."""
    assert list(received) == list(expected), f"the names are {list(received)}, expected {list(expected)}."
    for name, value in expected.items():
        compare(f"{name} {when}", received[name], value, tolerance)


def expect_error(kind: Type[Exception], action: Callable[[], Any], word: str) -> None:
    """Refuse an action that is not refused, or not with the right error and a message that names the cause.

    Raises:
        AssertionError: It was not.
    """
    try:
        action()
    except Exception as error:  # Another error than the right one is a finding, whichever it is.
        text = str(error)
        if not isinstance(error, kind):
            name = type(error).__name__
            raise AssertionError(f"a {name} was raised, expected a {kind.__name__}: {text}") from error
        if word not in text:
            raise AssertionError(f"the refusal does not name {word!r}: {text}") from error
    else:
        raise AssertionError(f"{word!r} was not refused.")
