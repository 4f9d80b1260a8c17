"""PyG's layers pass the conformance kit, fed sparse matrices and lists of edges; and what is theirs alone."""

from __future__ import annotations

import warnings
from typing import Any, Dict

import pytest
import torch
from torch import Tensor, nn

from gnnkit.backends import Backend
from gnnkit.data import Block
from gnnkit.nn import ConvSpec
from gnnkit.testing import CONV_SPECS, HARD_BLOCKS, conform, dense_conv
from gnnkit.testing.conv_checks import ConvChecks
from gnnkit.testing.use_checks import UseChecks
from gnnkit_pyg.backend import PygBackend

LAYOUTS = {"csr": PygBackend(use_csr=True), "edge_index": PygBackend(use_csr=False)}
layouts = pytest.mark.parametrize("layout", LAYOUTS)
specs = pytest.mark.parametrize("spec_name", CONV_SPECS)
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU, torch sees none")


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def values_of(spec: ConvSpec) -> Dict[str, Tensor]:
    return {name: draw(*p.shape, seed=i) for i, (name, p) in enumerate(spec.parameters.items())}


def make(backend: Any, spec: ConvSpec) -> nn.Module:
    """A convolution whose parameters were set through the parameter map."""
    conv: nn.Module = backend.conv(spec)
    native = dict(conv.named_parameters())
    places = backend.parameter_map(spec)
    assert {place.name for place in places.values()} == set(native)
    with torch.no_grad():
        for name, value in values_of(spec).items():
            native[places[name].name].copy_(places[name].to_native(value))
    return conv


@layouts
@specs
def test_bfloat16_by_autocast(layout: str, spec_name: str) -> None:
    spec, block = CONV_SPECS[spec_name], HARD_BLOCKS["unequal sides"]
    backend = LAYOUTS[layout]
    conv = make(backend, spec)
    full = draw(block.num_src, spec.in_channels, seed=50)
    for h in (full, full.bfloat16()):  # What the first layer gets, and what the ones after it get.
        h = h.clone().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = conv(backend.lower(block), h, h[: block.num_dst])
        out.float().sum().backward()
        expected = dense_conv(spec, values_of(spec), block, full).float()
        assert (out.float() - expected).norm() <= 0.03 * expected.norm()
        assert h.grad is not None and h.grad.isfinite().all() and bool(h.grad.any())
    assert all(parameter.grad is not None for parameter in conv.parameters())


@layouts
@pytest.mark.parametrize("spec_name", ["gcn", "sage mean", "gin", "gat"])
def test_bfloat16_counts_every_neighbour_of_a_hub(layout: str, spec_name: str) -> None:
    spec, n = CONV_SPECS[spec_name], 5000
    block = Block(torch.tensor([0, n]), torch.arange(n), n, torch.ones(n))
    backend = LAYOUTS[layout]
    conv = make(backend, spec)
    h = torch.ones(n, spec.in_channels, dtype=torch.bfloat16)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        out = conv(backend.lower(block), h, h[:1]).float()
    with torch.no_grad():
        expected = conv.float()(backend.lower(block), h.float(), h[:1].float())
    assert (out - expected).norm() <= 0.02 * expected.norm(), "a sum kept in bfloat16 stops growing at 256"


def test_a_whole_graph_is_transformed_once_and_right() -> None:
    spec, block = CONV_SPECS["gat"], HARD_BLOCKS["square"]
    conv = make(LAYOUTS["csr"], spec)
    lowered, h = LAYOUTS["csr"].lower(block), draw(4, 6, seed=4)
    calls = []
    linear = conv.get_submodule(LAYOUTS["csr"].parameter_map(spec)["lin.weight"].name.rpartition(".")[0])
    linear.register_forward_hook(lambda *_: calls.append(1))
    once = conv(lowered, h, h[:4])
    assert len(calls) == 1
    torch.testing.assert_close(once, conv(lowered, h, h.clone()))


def test_lowering_is_lazy_shares_memory_and_is_silent() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        block = HARD_BLOCKS["multi-edges"]
        lowered = PygBackend().lower(block)
        assert lowered.sums is not None
        matrix = lowered.sums.matrix(torch.float32, weighted=True)
        assert matrix is lowered.sums.matrix(torch.float32, weighted=True)
        assert lowered.sums.matrix(torch.float32, weighted=False).values().eq(1).all()
    assert matrix.shape == (2, 3) and matrix.col_indices().data_ptr() == block.indices.data_ptr()
    assert lowered.edge_index.tolist() == [block.indices.tolist(), block.dst.tolist()]


class TestListsOfEdges(UseChecks, ConvChecks):
    """The checks of layers, fed as on CUDA. Sparse matrices, which the CPU takes, pass the whole kit."""

    name = "pyg"
    test_missing_library = None  # No matter of what layers are fed, and a process.
    dear = ("many_edges", "many_passes", "wide_features")
    """Checks that are made of every fourth convolution; of the others they are long."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        facts = metafunc.function.facts
        if facts.name not in self.dear:
            super().pytest_generate_tests(metafunc)
            return
        marks = {place: [] if place % 4 == 0 else [pytest.mark.long] for place in range(len(facts.over))}
        metafunc.parametrize("case", [pytest.param(case, marks=marks[place]) for place, case in enumerate(facts.over)])

    def make_backend(self) -> Backend:
        return PygBackend(use_csr=False)


@needs_cuda
@pytest.mark.cuda
def test_conformant_on_cuda() -> None:
    report = conform("pyg", device="cuda")
    assert report.is_conformant, report.problems
