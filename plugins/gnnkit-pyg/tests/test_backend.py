"""The backend as a whole: probing, laziness, message passing, a model that trains."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Optional

import pytest
import torch

import gnnkit
from gnnkit.backends import load_backend
from gnnkit.backends.reference import ReferenceOps
from gnnkit.data import Block, from_edge_index, full_block, prepare_graph
from gnnkit.testing import HARD_BLOCKS
from gnnkit_pyg.backend import PygBackend

REDUCTIONS = ["sum", "mean", "max", "min"]
NO_DROPOUT = {"dropout": 0.0, "input_dropout": 0.0, "attention_dropout": 0.0}


def ask(code: str, first_path: Optional[Path] = None) -> str:
    """What a fresh interpreter prints; modules in ``first_path`` go before all others."""
    if first_path is not None:
        code = f"import sys; sys.path.insert(0, {str(first_path)!r})\n{code}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_probe_names_versions() -> None:
    answer = PygBackend.probe()
    assert answer.is_ready and not answer.fix
    for word in ("torch_geometric ", "torch ", "pyg_lib ", "torch_sparse "):
        assert word in answer.detail
    assert {"torch_geometric", "torch"} <= set(load_backend("pyg").versions())


def test_importing_the_plugin_does_not_import_the_library() -> None:
    code = "import sys, gnnkit_pyg.backend; print('torch_geometric' in sys.modules)"
    assert ask(code).strip() == "False"


PROBE = "from gnnkit_pyg.backend import PygBackend as B; a = B.probe(); print(a.status, '|', a.detail, '|', a.fix)"


@pytest.mark.parametrize("error", ["OSError('libcusparse.so.11: cannot open shared object file')", "AssertionError()"])
def test_probe_of_a_broken_library_gives_cause_and_fix(error: str, tmp_path: Path) -> None:
    (tmp_path / "torch_geometric").mkdir()
    (tmp_path / "torch_geometric" / "__init__.py").write_text(f"raise {error}\n")
    status, detail, fix = (part.strip() for part in ask(PROBE, tmp_path).split("|"))
    assert status == "broken" and detail.startswith(error.partition("(")[0]) and fix.startswith("pip install")


def test_probe_of_a_missing_library_gives_the_install_line() -> None:
    hide = (
        "import importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'torch_geometric' else find(name, *rest)\n"
    )
    status, _, fix = (part.strip() for part in ask(hide + PROBE).split("|"))
    assert status == "not installed" and fix.startswith("pip install") and "torch-geometric" in fix


@pytest.mark.parametrize("use_csr", [True, False])
@pytest.mark.parametrize("block_name", HARD_BLOCKS)
def test_message_passing_equals_the_reference(block_name: str, use_csr: bool) -> None:
    block: Block = HARD_BLOCKS[block_name]
    backend = PygBackend(use_csr)
    ours, theirs, lowered = backend.ops(), ReferenceOps(), backend.lower(block)
    generator = torch.Generator().manual_seed(0)
    h = torch.randn(block.num_src, 3, generator=generator) - 2.0
    heads = torch.randn(block.num_src, 2, 3, generator=generator)
    scores = torch.randn(block.num_edges, 2, generator=generator)
    for reduce in REDUCTIONS:
        for features, weight in ((h, None), (h, theirs.edge_weight(block)), (heads, None), (heads, scores)):
            received = ours.aggregate(lowered, features, reduce, weight)
            torch.testing.assert_close(received, theirs.aggregate(block, features, reduce, weight))
    torch.testing.assert_close(ours.edge_softmax(lowered, scores), theirs.edge_softmax(block, scores))
    assert torch.equal(ours.gather_dst(lowered, h[: block.num_dst]), h[block.dst])
    assert ours.edge_weight(lowered) is block.edge_weight


@pytest.mark.parametrize("model", ["gcn", "sage", "gat", "gatv2", "gin"])
def test_a_model_starts_like_the_reference_and_learns(model: str) -> None:
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(60) % 3
    edge_index = torch.randint(0, 60, (2, 400), generator=generator)
    edge_index = edge_index[:, y[edge_index[0]] == y[edge_index[1]]]
    x = torch.randn(60, 8, generator=generator) + torch.eye(8)[y]
    graph = from_edge_index(edge_index, x=x, y=y)
    pyg, reference = (gnnkit.build_model(model, graph, backend=name, **NO_DROPOUT) for name in ("pyg", "reference"))
    spec = pyg.spec
    block = full_block(prepare_graph(graph, self_loops=spec.self_loops, gcn_norm=spec.gcn_norm))
    blocks = [block] * pyg.num_layers
    torch.testing.assert_close(pyg.eval()(blocks, x), reference.eval()(blocks, x), rtol=1e-5, atol=1e-5)
    optimizer = torch.optim.Adam(pyg.train().parameters(), lr=0.02)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(pyg(blocks, x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
