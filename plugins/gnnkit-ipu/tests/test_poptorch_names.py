"""Every name, parameter and default that the plugin takes from PopTorch exists in PopTorch's interface.

The source is walked: the variables below are known to hold objects of PopTorch, and every attribute and every call on
them is looked up in the signatures of release 3.4.
"""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

import gnnkit_ipu
from gnnkit_ipu.optimizer import SETTINGS

API = json.loads((Path(__file__).parent / "emulator" / "poptorch_signatures.json").read_text())
SOURCE = Path(gnnkit_ipu.__file__).parent
FILES = sorted(path for path in SOURCE.glob("*.py"))
#: What variables and attributes of the plugin hold.
HOLDS = {
    "poptorch": "poptorch",
    "_poptorch": "poptorch",
    "native": "poptorch.Options",
    "modes": "poptorch.OutputMode",
    "executor": "poptorch.PoplarExecutor",
    "_executor": "poptorch.PoplarExecutor",
}
#: Of torch's base class, which PopTorch's optimisers derive from, and the resolver's own functions.
OURS = {"poptorch.hardware", "poptorch.emulator", "poptorch.probe_hardware", "poptorch.version", "poptorch.SDK_RELEASE"}


def owner(node):
    """What an expression holds, as a name of PopTorch; None if it is nothing of PopTorch's."""
    if isinstance(node, ast.Name):
        return HOLDS.get(node.id)
    if isinstance(node, ast.Attribute):
        inside = owner(node.value)
        return f"{inside}.{node.attr}" if inside else HOLDS.get(node.attr)
    return None


def used(path):
    """Names of PopTorch in a file: (name, line, positional arguments and keywords of a call or None)."""
    tree = ast.parse(path.read_text())
    calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            inside = owner(node.value)
            if inside is not None:
                call = calls.get(id(node))
                keywords = [k.arg for k in call.keywords if k.arg] if call else []
                yield f"{inside}.{node.attr}", node.lineno, len(call.args) if call else 0, keywords
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "partial":
            name = owner(node.args[0])
            if name:
                yield name, node.lineno, len(node.args) - 1, [k.arg for k in node.keywords]


def entries():
    for path in FILES:
        for name, line, positional, keywords in used(path):
            if name not in OURS:
                yield pytest.param(name, positional, keywords, id=f"{path.name}:{line}:{name}")


@pytest.mark.parametrize("name, positional, keywords", list(entries()))
def test_it_exists_with_these_parameters(name, positional, keywords):
    if name == "poptorch.optim":
        return
    if name.startswith("poptorch.OutputMode."):
        assert name.rpartition(".")[2] in API["poptorch.OutputMode"]["members"]
        return
    assert name in API, f"PopTorch has no {name}"
    parameters = [parameter[:2] for parameter in API[name].get("params", [])]
    named = [parameter for parameter, kind in parameters if not kind.startswith("var_")]
    varies = {kind for _, kind in parameters if kind.startswith("var_")}
    assert set(keywords) <= set(named) or "var_keyword" in varies
    assert positional <= len(named) or "var_positional" in varies


def test_the_walk_finds_them():
    names = {entry.values[0] for entry in entries()}
    assert {"poptorch.trainingModel", "poptorch.inferenceModel", "poptorch.identity_loss", "poptorch.Options"} <= names
    assert {"poptorch.Options.deviceIterations", "poptorch.PoplarExecutor.setOptimizer", "poptorch.Error"} <= names
    assert len(names) > 25
    assert not [
        line
        for path in FILES
        if path.name != "emulate.py"  # Where scripts of others import it.
        for line in path.read_text().splitlines()
        if "import poptorch" in line and "from gnnkit_ipu import poptorch" not in line
    ]


@pytest.mark.parametrize("kind", SETTINGS)
def test_settings_of_optimisers_exist_and_default_to_nothing(kind):
    parameters = {name: default for name, _, default in API[f"poptorch.optim.{kind}"]["params"]}
    wanted = [*SETTINGS[kind], *(["max_grad_norm"] if kind != "RMSprop" else [])]
    assert {parameters[name] for name in wanted} == {"None"}
    assert "lr" in parameters and ("max_grad_norm" in parameters) == (kind != "RMSprop")
