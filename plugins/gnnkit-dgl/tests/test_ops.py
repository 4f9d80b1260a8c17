"""Message passing on DGL's kernels against the reference's."""

from __future__ import annotations

import pytest
import torch

from gnnkit.backends import Backend
from gnnkit.backends.reference import ReferenceBackend
from gnnkit.data import Block
from gnnkit.nn import ConvSpec
from gnnkit.nn.convs.gatv2 import GATv2Conv


@pytest.mark.parametrize("reduce", ["sum", "mean", "max", "min"])
@pytest.mark.parametrize("trailing", [(), (3,), (2, 3)])
def test_reductions_and_their_gradients(reduce: str, trailing: tuple, backend: Backend, block: Block) -> None:
    generator = torch.Generator().manual_seed(5)
    h_src = torch.randn((block.num_src,) + trailing, generator=generator)
    messages = torch.randn((block.num_edges,) + trailing, generator=generator)
    results = []
    for each in (ReferenceBackend(), backend):
        ops, lowered = each.ops(), each.lower(block)
        h, m = h_src.clone().requires_grad_(), messages.clone().requires_grad_()
        outs = [ops.scatter(lowered, m, reduce), ops.aggregate(lowered, h, reduce)]
        if block.edge_weight is not None:
            outs.append(ops.aggregate(lowered, h, reduce, ops.edge_weight(lowered)))
        sum((out * out).sum() for out in outs + [h.sum(), m.sum()]).backward()
        results.append(outs + [h.grad, m.grad])
    for expected, received in zip(*results):
        torch.testing.assert_close(received, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("trailing", [(), (3,), (2, 3)])
def test_gathering_and_softmax(trailing: tuple, backend: Backend, block: Block) -> None:
    generator = torch.Generator().manual_seed(6)
    h_src = torch.randn((block.num_src,) + trailing, generator=generator)
    scores = torch.randn((block.num_edges,) + trailing, generator=generator)
    expected_ops, ops = ReferenceBackend().ops(), backend.ops()
    lowered = backend.lower(block)
    h_dst = h_src[: block.num_dst]
    assert torch.equal(ops.gather_src(lowered, h_src), expected_ops.gather_src(block, h_src))
    assert torch.equal(ops.gather_dst(lowered, h_dst), expected_ops.gather_dst(block, h_dst))
    torch.testing.assert_close(ops.edge_softmax(lowered, scores), expected_ops.edge_softmax(block, scores))


def test_a_layer_written_once_runs_here(backend: Backend, block: Block) -> None:
    spec = ConvSpec("gatv2", 4, 3, {"heads": 2})
    conv = GATv2Conv(spec, backend.ops())
    for parameter in conv.parameters():
        torch.nn.init.normal_(parameter)
    h = torch.randn(block.num_src, 4)
    out = conv(backend.lower(block), h, h[: block.num_dst])
    conv.ops = ReferenceBackend().ops()
    torch.testing.assert_close(out, conv(block, h, h[: block.num_dst]), rtol=1e-5, atol=1e-5)
