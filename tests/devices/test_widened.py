"""Products in bfloat16 by float32 are those of instructions for bfloat16: rounded operands, sums in float32."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Set, Tuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

import gnnkit
from gnnkit.backends import load_backend
from gnnkit.data import Block
from gnnkit.devices.widened import WidenedProducts
from gnnkit.nn import GNN, ModelSpec
from gnnkit.nn.segments import tables_linear
from tests.conftest import installed_backends

HERE = [name for name in installed_backends() if name in ("reference", "pyg", "dgl")]
Product = Callable[..., Tensor]
PRODUCTS: Dict[str, Tuple[Product, List[Tuple[int, ...]]]] = {
    "linear": (functional.linear, [(70, 20), (30, 20), (30,)]),
    "linear by name": (lambda x, w, b: functional.linear(input=x, weight=w, bias=b), [(70, 20), (30, 20), (30,)]),
    "matmul": (torch.matmul, [(4, 70, 20), (20, 30)]),
    "operator": (lambda x, y: x @ y, [(70, 20), (20, 30)]),
    "a vector": (lambda x, y: x @ y, [(70, 20), (20,)]),
    "method": (lambda x, y: x.mm(y), [(70, 20), (20, 30)]),
    "bmm": (torch.bmm, [(4, 70, 20), (4, 20, 30)]),
    "addmm": (lambda b, x, y: torch.addmm(b, x, y, alpha=2.0), [(30,), (70, 20), (20, 30)]),
    "einsum": (lambda x, y: torch.einsum("bi,oi->bo", x, y), [(70, 20), (30, 20)]),
}


def operands(shapes: List[Tuple[int, ...]]) -> List[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(*shape, generator=generator).requires_grad_() for shape in shapes]


@pytest.mark.parametrize("name", PRODUCTS)
def test_values_and_gradients_are_those_of_autocast(name: str) -> None:
    multiply, shapes = PRODUCTS[name]
    found = []
    for mode in (WidenedProducts(), torch.autocast("cpu", dtype=torch.bfloat16)):
        given = operands(shapes)
        with mode:
            out = multiply(*given)
        assert out.dtype == torch.bfloat16
        out.backward(torch.linspace(-1, 1, out.numel()).view(out.shape).bfloat16())
        found.append([out, *(each.grad for each in given)])
    for one, other in zip(*found):
        assert one.dtype == other.dtype
        torch.testing.assert_close(one.float(), other.float(), rtol=1e-2, atol=1e-2 * float(other.abs().max()))


class Types(TorchDispatchMode):
    """Remembers in which types matrices are multiplied."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Set[torch.dtype] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.__name__.split(".")[0].rstrip("_") in ("mm", "mv", "addmm", "addmv", "bmm", "baddbmm", "dot"):
            self.seen |= {each.dtype for each in args if isinstance(each, Tensor)}
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", [name for name in PRODUCTS if name != "einsum"])  # The one that modes do not see.
def test_matrices_are_multiplied_in_float32(name: str) -> None:
    multiply, shapes = PRODUCTS[name]
    with Types() as types:
        with WidenedProducts():
            out = multiply(*operands(shapes))
        out.float().sum().backward()
    assert types.seen == {torch.float32}


@pytest.mark.parametrize("num", [40, 700, 9000])
@pytest.mark.parametrize("conv", ["sage", "gcn", "gin", "gat"])
@pytest.mark.parametrize("backend", HERE)
def test_so_are_those_of_models(backend: str, conv: str, num: int) -> None:
    model = GNN(ModelSpec(conv, 6, 3, hidden_channels=4, num_layers=2), load_backend(backend))
    block = Block(torch.arange(num + 1), torch.arange(num).flip(0), num)
    with Types() as types:
        with WidenedProducts():
            out = model([block, block], torch.randn(num, 6))
        out.float().square().sum().backward()
    assert types.seen == {torch.float32}


def test_so_are_those_of_typed_tables() -> None:
    tables, weights, biases = operands([(5, 2), (9000, 3)]), operands([(4, 2), (4, 3)]), operands([(4,), (4,)])
    with Types() as types:
        with WidenedProducts():
            out = tables_linear(tables, weights, biases)
        out.float().square().sum().backward()
    assert types.seen == {torch.float32}


def test_sums_are_in_float32_and_rounded_once() -> None:
    x, weight = (each.detach().bfloat16() for each in operands([(50, 4000), (3, 4000)]))
    exact = x.double() @ weight.double().t()
    with WidenedProducts():
        out = functional.linear(x, weight)
    torch.testing.assert_close(out.double(), exact, rtol=2**-8, atol=1e-3)


def test_what_autocast_leaves_alone_is_left_alone() -> None:
    x, weight = operands([(70, 20), (30, 20)])
    with WidenedProducts():
        assert functional.linear(x.double(), weight.double()).dtype == torch.float64
        assert (x.detach().to_sparse() @ weight.detach().t()).shape == (70, 30)
        with torch.autocast("cpu", enabled=False):
            assert torch.equal(functional.linear(x, weight), x @ weight.t())
            assert functional.linear(x, weight).dtype == torch.float32
        assert torch.mm(x.detach(), weight.detach().t(), out=torch.empty(70, 30)).dtype == torch.float32
        assert (x.softmax(1) + x.sum()).dtype == torch.float32
    assert functional.linear(x, weight).dtype == torch.float32


def test_gradients_of_gradients() -> None:
    x, weight = operands([(70, 20), (30, 20)])
    with WidenedProducts():
        out = functional.linear(x, weight).float()
    (first,) = torch.autograd.grad((out**2).sum(), x, create_graph=True)
    assert float(torch.autograd.grad((first**2).sum(), weight)[0].abs().sum()) > 0


def test_it_is_entered_again_and_again() -> None:
    mode, layer = WidenedProducts(), nn.Linear(4, 2)
    for _ in range(2):
        with mode:
            assert layer(torch.ones(3, 4)).dtype == torch.bfloat16
        assert layer(torch.ones(3, 4)).dtype == torch.float32


def losses(backend: str, conv: str, products: Optional[str], **more: Any) -> List[float]:
    graph = gnnkit.load_dataset("synthetic", num_nodes=1200, num_edges=5000, num_features=32)
    model = gnnkit.build_model(conv, graph, backend=backend, hidden_channels=32, num_layers=2, **more)
    settings: Dict[str, Any] = {} if products is None else {"device_options": {"bfloat16_products": products}}
    precision = "float32" if products is None else "bfloat16"
    trainer = gnnkit.Trainer(device="cpu", epochs=3, precision=precision, progress=False, fanouts=(5, 5), **settings)
    return [record.train_loss for record in trainer.fit(model, graph).history]


@pytest.mark.parametrize("conv", ["sage", "gcn", "gin", "gat"])
@pytest.mark.parametrize("backend", HERE)
def test_trainings_are_those_of_autocast(backend: str, conv: str) -> None:
    ours, autocast, wide = (losses(backend, conv, products) for products in ("widened", "torch", None))
    assert ours == losses(backend, conv, "widened")
    assert ours == pytest.approx(autocast, rel=1e-2)
    assert ours != wide and ours == pytest.approx(wide, rel=3e-2)
