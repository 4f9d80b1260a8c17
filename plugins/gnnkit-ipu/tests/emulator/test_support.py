"""The support table: every layer of PyG that is documented, judged by the emulator."""

from __future__ import annotations

from pathlib import Path

import pytest

from gnnkit_ipu.emulator.layers import support_table
from gnnkit_ipu.emulator.support import ACCEPTED, MISSING, REFUSED, explain, judge, support_markdown
from gnnkit_ipu.emulator.support_cases import CASES


@pytest.fixture(scope="module")
def table() -> str:
    """The page, which takes seconds."""
    return support_markdown()


def test_cases_are_in_the_table():
    assert set(CASES) <= set(support_table()) and len(CASES) > 110


@pytest.mark.parametrize("name", sorted(CASES))
def test_documented_status(name):
    found = judge(name)
    if found.alone == MISSING:
        pytest.skip(found.reason)
    if found.row.status == "Supported":
        assert found.met == found.alone == ACCEPTED, found.reason
    elif found.met == ACCEPTED:
        assert explain(found).startswith("A function")  # only functions cannot be looked up
    else:
        assert found.met == REFUSED
    assert found.agrees or explain(found)


def test_markdown_has_every_row_and_explains_disagreement(table):
    for name in support_table():
        assert f"| {name} |" in table
    differing = [line for line in table.splitlines() if "**Differs**" in line]
    assert differing and all(len(line.split("**Differs**: ")[1]) > 20 for line in differing)
    assert "No run on hardware was made" in table


def test_the_page_of_the_documentation_is_the_one_made_here(table):
    """Write it anew with ``python -m gnnkit_ipu.emulator.support > docs/ipu-support.md``."""
    page = Path(__file__).parents[4] / "docs" / "ipu-support.md"
    made, written = table.splitlines(), page.read_text().splitlines()
    if made[2].split(".")[:4] != written[2].split(".")[:4]:
        pytest.skip(f"the page was made with other versions: {written[2].split('. ')[0]}")
    assert made == written


@pytest.mark.parametrize("name", ["HeteroLinear", "MFConv", "ClusterGCNConv"])
def test_static_forms_compute_what_the_layer_computes(name):
    import torch
    import torch_geometric.nn as g

    from gnnkit_ipu.emulator.static_layers import replaced_layers
    from gnnkit_ipu.emulator.support_cases import INPUTS

    case = CASES[name]
    layer, inputs = case.make(g), [INPUTS[i] for i in case.inputs]
    loops = [x.clone() for x in inputs]
    if name == "ClusterGCNConv":
        loops[1] = torch.cat([loops[1], torch.tensor([[2, 4], [2, 4]])], dim=1)
    for values in (inputs, loops):
        expected = layer(*values)
        with replaced_layers():
            assert torch.allclose(layer(*values), expected, atol=1e-5)
    assert torch.allclose(layer(*inputs), layer(*inputs))
