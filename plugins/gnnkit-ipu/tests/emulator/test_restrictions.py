"""The restrictions: what violates them is refused with its message, its neighbour is accepted."""

from __future__ import annotations

import re

import pytest

from gnnkit_ipu import emulator as poptorch
from gnnkit_ipu.emulator.restrictions import RESTRICTIONS

from .catalogue import MORE, MORE_ALLOWED, PROGRAMS
from .programs import X, infer

#: Found in the data, in options or in calls on the host: there is no line of forward to name.
LINE_KNOWN = {2, 7, 8, 10, 11, 12, 16, 17, 20, 29, 30, 31, 32, 33, 40}


def refused(number: int, program) -> poptorch.RestrictionError:
    rule = RESTRICTIONS[number]
    with pytest.raises(poptorch.RestrictionError) as caught:
        program()
    error = caught.value
    assert error.number == number, str(error)
    assert rule.title in str(error) and rule.remedy in str(error)
    return error


def test_catalogue_is_complete():
    assert sorted(RESTRICTIONS) == list(range(1, 42)) == sorted(PROGRAMS)
    silent = [n for n, rule in RESTRICTIONS.items() if rule.kind == "S"]
    assert silent == [2, 9, 13, 17, 18, 28, 38] and RESTRICTIONS[23].kind == "E/S"


@pytest.mark.parametrize("number", sorted(PROGRAMS))
def test_violation_is_refused(number):
    error = refused(number, PROGRAMS[number][0])
    if number in LINE_KNOWN:
        assert re.search(r"(programs|catalogue)\.py:\d+", error.location), str(error)


@pytest.mark.parametrize("number", sorted(PROGRAMS))
def test_neighbour_is_accepted(number):
    PROGRAMS[number][1]()


@pytest.mark.parametrize("number, program", MORE)
def test_further_violations(number, program):
    refused(number, program)


@pytest.mark.parametrize("program", MORE_ALLOWED)
def test_further_neighbours(program):
    program()


def test_location_is_the_line_of_the_model():
    def forward(m, out, y):
        return out[out > 0]  # the line that is named

    with pytest.raises(poptorch.RestrictionError) as caught:
        infer(forward, x=X)
    line = forward.__code__.co_firstlineno + 1
    assert caught.value.location == f"{__file__}:{line}"


def test_a_refused_compilation_leaves_the_model_usable():
    from torch import nn

    class Model(nn.Linear):
        bad = True

        def forward(self, x):
            out = super().forward(x)
            return out * out.sum().item() if self.bad else out

    model = Model(3, 2).eval()
    wrapped = poptorch.inferenceModel(model, poptorch.Options().showCompilationProgressBar(False))
    refused(8, lambda: wrapped(X))
    assert not wrapped.isCompiled()
    model.bad = False
    assert wrapped(X).shape == (8, 2)
    assert model(X).shape == (8, 2)
