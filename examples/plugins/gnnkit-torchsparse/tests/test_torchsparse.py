"""gnnkit's checks of a backend, and what is special here."""

from __future__ import annotations

import torch

from gnnkit.data import Block
from gnnkit.testing import BackendSuite
from gnnkit_torchsparse.backend import TorchSparseBackend


class TestTorchSparse(BackendSuite):
    name = "torchsparse"


def test_a_product_and_one_message_per_edge_agree():
    block = Block(torch.tensor([0, 2, 2, 3]), torch.tensor([0, 1, 2]), 3)
    lowered = TorchSparseBackend().lower(block)
    ops, h, weight = TorchSparseBackend().ops(), torch.arange(12.0).reshape(3, 2, 2), torch.tensor([1.0, 2.0, 3.0])
    learned = weight.clone().requires_grad_()
    torch.testing.assert_close(ops.aggregate(lowered, h, "sum", weight), ops.aggregate(lowered, h, "sum", learned))
    ops.aggregate(lowered, h, "sum", learned).sum().backward()
    torch.testing.assert_close(learned.grad, h.sum(dim=(1, 2)))
