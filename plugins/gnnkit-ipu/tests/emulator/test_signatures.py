"""Every name that the emulator offers exists in PopTorch 3.4, with its parameters, defaults and values.

``poptorch_signatures.json`` holds the public signatures: name -> kind, parameters (name, kind, default), enum members.
"""

from __future__ import annotations

import enum
import inspect
import json
from pathlib import Path

import pytest

from gnnkit_ipu import emulator
from gnnkit_ipu.emulator import geometric, optim, options

API = json.loads(Path(__file__).with_name("poptorch_signatures.json").read_text())
OURS = {"NOT_EMULATED", "SUCCESS", "NotEmulatedError", "RestrictionError", "geometric", "optim", "options"}
PARTS = ("Training", "Precision", "Distributed", "Jit", "_Popart")


def class_members(name, kind):
    """The class, and what it adds to its bases outside of the emulator."""
    yield name, kind
    if issubclass(kind, (enum.Enum, BaseException)):
        return
    for owner in kind.__mro__:
        if owner.__module__.startswith("gnnkit_ipu.emulator") and not owner.__name__.startswith("_"):
            for attribute, value in vars(owner).items():
                public = not attribute.startswith("_") or f"{name}.{attribute}" in API
                if public and attribute != "__init__" and (callable(value) or hasattr(value, "__get__")):
                    yield f"{name}.{attribute}", value


def offered():
    for name in emulator.__all__:
        if name not in OURS:
            value = getattr(emulator, name)
            if inspect.isclass(value):
                yield from class_members(f"poptorch.{name}", value)
            else:
                yield f"poptorch.{name}", value
    for name in ("SGD", "Adam", "AdamW", "RMSprop", "LAMB", "Optimizer", "VariableAttributes"):
        yield from class_members(f"poptorch.optim.{name}", getattr(optim, name))
    for part in PARTS:
        kind = type(getattr(options.Options(), part))
        for attribute, value in vars(kind).items():
            if not attribute.startswith("_"):
                yield f"poptorch.Options.{part}.{attribute}", value
    yield "poptorch.options.ConfigFileError", options.ConfigFileError
    yield "poptorch_geometric.FixedSizeOptions", geometric.FixedSizeOptions


OFFERED = dict(offered())
#: Inherited by every optimiser; the interface lists these under the base.
FROM_BASE = {"state_dict", "get_state_dict", "set_state_dict", "load_state_dict", "has_state"}


def names():
    for name in OFFERED:
        owner, _, attribute = name.rpartition(".")
        if not (attribute in FROM_BASE and owner != "poptorch.optim.Optimizer" and ".optim." in owner):
            yield name


def default(parameter):
    if parameter.default is inspect.Parameter.empty:
        return None
    value = parameter.default
    return f"{type(value).__name__}.{value.name}" if isinstance(value, enum.Enum) else repr(value)


@pytest.mark.parametrize("name", sorted(names()))
def test_name_is_poptorchs(name):
    value = OFFERED[name]
    assert name in API, f"PopTorch 3.4 has no {name}"
    facts = API[name]
    if facts["kind"] == "enum":
        assert {m.name: m.value for m in value} == facts["members"]
        return
    if facts["kind"] == "exception":
        assert issubclass(value, Exception)
        return
    if facts["kind"] == "property" or facts.get("accessed_as") == "property":
        assert isinstance(value, property)
        return
    function = value.__func__ if isinstance(value, staticmethod) else value
    found = [(p.name, p.kind.name.lower(), default(p)) for p in inspect.signature(function).parameters.values()]
    found = [p for p in found if p[0] != "self"]
    assert found == [tuple(p) for p in facts.get("params", [])]


def test_enough_is_offered():
    assert len(list(names())) > 130


@pytest.mark.parametrize("name", sorted(emulator.NOT_EMULATED))
def test_what_is_left_out_says_so(name):
    assert any(known == f"poptorch.{name}" or known.startswith(f"poptorch.{name}.") for known in API)
    with pytest.raises(emulator.NotEmulatedError, match=f"poptorch.{name} exists in PopTorch and is not emulated"):
        getattr(emulator, name)


def test_unknown_names_are_no_attributes():
    assert not hasattr(emulator, "AnchorMode")


@pytest.mark.parametrize("name", ["cycleCount", "getLatency", "getAnchoredTensor", "save", "compileAndExport"])
def test_methods_left_out_say_so(name):
    import torch

    wrapped = emulator.inferenceModel(torch.nn.Linear(1, 1))
    with pytest.raises(emulator.NotEmulatedError, match=name):
        getattr(wrapped, name)
