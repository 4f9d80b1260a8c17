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
OURS = {"NOT_EMULATED", "SUCCESS", "Counts", "NotEmulatedError", "RestrictionError", "counting", "optim", "options"}
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
    yield from geometric_names()


def geometric_names():
    """What stands in for PopTorch Geometric, by the module that it is in there; loaders inherit PopTorch's members."""
    inherited = ("combinedBatchSize", "options", "terminate")
    yield from ((name, value) for name, value in _geometric_names() if name.rpartition(".")[2] not in inherited)


def _geometric_names():
    top = {name for name in geometric.__all__ if not inspect.ismodule(getattr(geometric, name))}
    for name in sorted(top - {"NOT_EMULATED"}):
        value = getattr(geometric, name)
        if inspect.isclass(value):
            yield from class_members(f"poptorch_geometric.{name}", value)
        else:
            yield f"poptorch_geometric.{name}", value
    parts = {
        "collate": ("FixedSizeCollater", "CombinedBatchingCollater"),
        "dataloader": ("DataLoader",),
        "stream_packing_sampler": ("StreamPackingSampler",),
    }
    for module, found in parts.items():
        for name in found:
            yield from class_members(f"poptorch_geometric.{module}.{name}", getattr(getattr(geometric, module), name))


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
    function = value.__func__ if isinstance(value, (staticmethod, classmethod)) else value
    found = [(p.name, p.kind.name.lower(), default(p)) for p in inspect.signature(function).parameters.values()]
    found = [p for p in found if p[0] not in ("self", "cls")]
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
