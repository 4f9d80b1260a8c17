"""Products by oneDNN are torch's, gradients included, and only where they should be."""

from __future__ import annotations

from typing import Optional, Set, Tuple

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import gnnkit
from gnnkit.datasets import load_dataset
from gnnkit.devices.cpu import CpuDevice
from gnnkit.devices.products import OneDnnProducts, has_onednn, has_packing, linear
from gnnkit.errors import ConfigError, UnknownNameError

pytestmark = pytest.mark.skipif(not has_onednn(), reason="this torch cannot multiply with oneDNN")

LARGE = (9900, 256, 128)  # Twice 4,096 rows, 1,024, 512 and a rest; large enough for gradients by oneDNN.


def operands(
    rows: int, width: int, out: int, dtype: torch.dtype = torch.float32, bias: bool = True
) -> Tuple[Tensor, Tensor, Optional[Tensor]]:
    generator = torch.Generator().manual_seed(rows + width + out)
    x, weight, b = (torch.randn(*shape, generator=generator) for shape in ((rows, width), (out, width), (out,)))
    x, weight, b = (part.to(dtype).requires_grad_() for part in (x, weight, b))
    return x, weight, b if bias else None


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 5, 3), (1024, 256, 40), LARGE, (20000, 3, 2)])
def test_values_and_gradients_are_those_of_float64(shape: Tuple[int, int, int], bias: bool) -> None:
    ours, exact = operands(*shape, bias=bias), operands(*shape, dtype=torch.float64, bias=bias)
    grad = torch.randn(shape[0], shape[2], generator=torch.Generator().manual_seed(0))
    out, expected = linear(*ours), functional.linear(*exact)
    torch.testing.assert_close(out, expected.float(), rtol=1e-5, atol=1e-4)
    out.backward(grad)
    expected.backward(grad.double())
    for one, other in zip(ours, exact):
        if one is None or other is None:
            assert not bias and one is None and other is None
            continue
        assert one.grad is not None and other.grad is not None
        assert (one.grad - other.grad).abs().max().item() <= 1e-5 * other.grad.abs().max().item()


@pytest.mark.parametrize("rows", [1, 255, 256, 257, 300, 511, 700, 1000, 1500, 4095, 4097, 6200])
def test_every_row_is_computed(rows: int) -> None:
    x, weight, bias = operands(rows, 5, 3)
    torch.testing.assert_close(linear(x, weight, bias), functional.linear(x, weight, bias))


def test_memory_in_any_order_is_taken() -> None:
    x, weight, _ = operands(*LARGE)
    with OneDnnProducts():
        transposed = x.t().contiguous().t() @ weight.t().contiguous()
        strided = functional.linear(torch.cat([x, x], dim=1)[:, ::2], weight)
    assert torch.allclose(transposed, x @ weight.t(), atol=1e-4)
    assert torch.allclose(strided, torch.cat([x, x], dim=1)[:, ::2] @ weight.t(), atol=1e-4)
    transposed.sum().backward()  # A gradient whose rows are all the same memory.
    assert weight.grad is not None
    assert torch.allclose(weight.grad, x.sum(0).expand_as(weight), rtol=1e-4, atol=1e-3)


def operations(out: Tensor) -> Set[str]:
    """What the gradients of a result call."""
    with torch.profiler.profile() as profile:
        out.sum().backward()
    return {event.key for event in profile.key_averages()}


def test_only_gradients_that_are_wanted_are_computed() -> None:
    x, weight, bias = operands(*LARGE)
    of_weight, of_x = "aten::mkldnn_linear_backward_weights", "mkldnn::_linear_pointwise"
    assert {of_weight, of_x} <= operations(linear(x, weight, bias))
    for_weight, for_x = operations(linear(x.detach(), weight, bias)), operations(linear(x, weight.detach()))
    assert of_weight in for_weight and of_x not in for_weight
    assert of_x in for_x and of_weight not in for_x


def test_gradients_of_gradients() -> None:
    x, weight, _ = operands(*LARGE)
    results = []
    for multiply in (linear, functional.linear):
        (first,) = torch.autograd.grad((multiply(x, weight) ** 2).sum(), x, create_graph=True)
        results.append(torch.autograd.grad((first**2).sum(), weight)[0])
    assert torch.allclose(results[0], results[1], rtol=1e-4, atol=results[1].abs().max().item() * 1e-5)


def handed_on(out: Tensor) -> bool:
    return type(out.grad_fn).__name__ == "_LinearBackward"


def test_what_is_handed_on() -> None:
    x, weight, bias = operands(*LARGE)
    small = operands(8, 64, 48)
    with OneDnnProducts():
        assert handed_on(functional.linear(x, weight, bias))
        assert handed_on(torch.nn.Linear(256, 128)(x))
        assert handed_on(x @ weight.t()) and handed_on(torch.matmul(x, weight.t())) and handed_on(x.matmul(weight.t()))
        assert not handed_on(functional.linear(*small))
        assert not handed_on(functional.linear(x.double(), weight.double()))
        assert not handed_on(x.view(2, -1, 256) @ weight.t())
        assert not handed_on(x.to_sparse() @ weight.t())
        assert not handed_on(x @ weight[0])
    assert not handed_on(functional.linear(x, weight, bias))


def losses(backend: str, products: str, nodes: int = 1000, features: int = 64, hidden: int = 256) -> Tuple[float, ...]:
    graph = load_dataset("synthetic", num_nodes=nodes, num_edges=4000, num_features=features)
    model = gnnkit.build_model("sage", graph, backend=backend, hidden_channels=hidden, num_layers=2, dropout=0.5)
    options = {"products": products}
    trainer = gnnkit.Trainer(device="cpu", epochs=3, device_options=options, keep_memory=False, progress=False)
    return tuple(record.train_loss for record in trainer.fit(model, graph).history)


@pytest.mark.parametrize("backend", ["reference", "pyg", "dgl"])
def test_training_differs_by_rounding_and_repeats_its_bits(backend: str) -> None:
    ours = losses(backend, "onednn")
    assert ours == losses(backend, "onednn")
    assert ours == pytest.approx(losses(backend, "torch"), rel=1e-5)


@pytest.mark.skipif(not has_packing(), reason="this torch cannot multiply with packed matrices")
@pytest.mark.parametrize("backend", ["pyg", "dgl"])
def test_mixed_products_are_others_for_wide_layers_alone(backend: str) -> None:
    wide = {"nodes": 4200, "features": 512, "hidden": 512}
    ours, torchs = losses(backend, "mixed", **wide), losses(backend, "torch", **wide)
    assert ours == losses(backend, "mixed", **wide)
    assert ours != torchs and ours == pytest.approx(torchs, rel=1e-5)
    assert losses(backend, "mixed") == losses(backend, "torch")


def test_auto_is_one_of_them() -> None:
    assert losses("reference", "auto") in (losses("reference", "onednn"), losses("reference", "torch"))


def test_wrong_options_are_refused() -> None:
    with pytest.raises(ConfigError, match="products is 'mkl'; expected one of auto, torch, onednn, mixed"):
        CpuDevice().configure({"products": "mkl"})
    with pytest.raises(ConfigError, match="bfloat16_products is 'onednn'; expected one of auto, torch, widened"):
        CpuDevice().configure({"bfloat16_products": "onednn"})
    with pytest.raises(UnknownNameError, match="product"):
        CpuDevice().configure({"product": "torch"})
