"""The skeleton: canonical parameters, what stands between convolutions, and what is refused."""

from __future__ import annotations

import itertools

import pytest
import torch

from gnnkit.backends import load_backend, move_model
from gnnkit.data import Block
from gnnkit.errors import CheckpointError, ConfigError, UnknownNameError
from gnnkit.nn import CONVS, GNN, ModelSpec, model_spec
from gnnkit.testing import HARD_BLOCKS
from gnnkit.testing.graphs import EDGE_CHANNELS

SPECS = [
    ModelSpec.from_dict(
        {
            "conv": conv,
            "in_channels": 6,
            "out_channels": 3,
            "hidden_channels": 4,
            "heads": 2,
            "norm": norm,
            "residual": residual,
            "jumping_knowledge": jumping,
            "edge_channels": EDGE_CHANNELS if CONVS[conv].reads_edges else None,
            "delta": 1.2,
        }
    )
    for conv, norm, residual, jumping in itertools.product(
        CONVS, ("none", "batch", "layer"), (False, True), ("none", "cat", "max")
    )
    if not CONVS[conv].is_propagation or (norm, residual, jumping) == ("none", False, "none")
]


def square() -> Block:
    return HARD_BLOCKS["square"]


def features(num: int = 4, width: int = 6) -> torch.Tensor:
    return torch.randn(num, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("conv", "options"),
    [("sage", {}), ("sage", {"aggregation": "max"}), ("sage", {"normalize": True}), ("graphconv", {})],
    ids=str,
)
@pytest.mark.parametrize("activation", ["relu", "elu"])
def test_layers_that_activate_by_themselves_do_it_everywhere(backend, conv: str, activation: str, options) -> None:
    settings = {"hidden_channels": 4, "activation": activation, "dropout": 0.0, **options}
    spec = ModelSpec.from_dict({"conv": conv, "in_channels": 6, "out_channels": 3, **settings})
    model, reference = (GNN(spec, each, seed=5) for each in (backend, load_backend("reference")))
    reduced = Block(torch.arange(5), torch.arange(4, 8), 8, is_reduced=True)
    blocks = {"square": square(), **({"reduced": reduced} if options.get("aggregation") != "max" else {})}
    for name, block in blocks.items():
        x = features(block.num_src)
        found, expected = (each([block, square()], x) for each in (model, reference))
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5, msg=name)
        grads = [
            torch.autograd.grad((out * features(4, 3)).sum(), list(each.parameters_by_name().values()))
            for out, each in ((found, model), (expected, reference))
        ]
        assert len(grads[0]) == len(grads[1])
        norms = [sum(float(part.square().sum()) for part in each) for each in grads]
        assert norms[0] == pytest.approx(norms[1], rel=1e-4)


@pytest.mark.in_turn
@pytest.mark.parametrize("spec", SPECS, ids=lambda s: f"{s.conv}-{s.norm}-{s.residual}-{s.jumping_knowledge}")
def test_every_backend_starts_alike_and_computes_alike(backend, spec: ModelSpec) -> None:
    reference = GNN(spec, load_backend("reference"), seed=5)
    model = GNN(spec, backend, seed=5)
    ours, theirs = reference.canonical_state(), model.canonical_state()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    outputs = model.train()([square(), square()], features())
    torch.manual_seed(0)
    outputs = model([square(), square()], features())
    torch.manual_seed(0)
    expected = reference.train()([square(), square()], features())
    torch.testing.assert_close(outputs, expected, rtol=1e-5, atol=1e-5)


def test_weights_move_between_backends(backend) -> None:
    spec = ModelSpec("gatv2", 6, 3, hidden_channels=4, norm="batch", residual=True, conv_options={"heads": 2})
    model = GNN(spec, load_backend("reference"), seed=1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))
    model.train()([square(), square()], features())  # Moves the running statistics, which must travel too.
    moved = move_model(model, backend)
    assert moved.backend.name == backend.name
    args = ([square(), square()], features())
    torch.testing.assert_close(moved.eval()(*args), model.eval()(*args), rtol=1e-5, atol=1e-5)


def test_initial_weights_depend_on_seed_and_name_alone() -> None:
    backend = load_backend("reference")
    spec = ModelSpec("gcn", 6, 3, num_layers=2)
    first = GNN(spec, backend, seed=1).canonical_state()
    torch.rand(100)
    again = GNN(spec, backend, seed=1).canonical_state()
    deeper = GNN(ModelSpec("gcn", 6, 3, num_layers=3), backend, seed=1).canonical_state()
    other = GNN(spec, backend, seed=2).canonical_state()
    name = "convs.0.lin.weight"
    assert torch.equal(first[name], again[name])
    assert torch.equal(first[name], deeper[name])
    assert not torch.equal(first[name], other[name])
    assert float(first[name].abs().max()) <= (6 / (6 + 64)) ** 0.5


def test_dropout_acts_while_training_only() -> None:
    model = GNN(ModelSpec("sage", 6, 3, dropout=0.5), load_backend("reference"))
    args = ([square(), square()], features())
    assert not torch.equal(model.train()(*args), model.train()(*args))
    assert torch.equal(model.eval()(*args), model.eval()(*args))


def test_destinations_of_unequal_blocks() -> None:
    first = Block(torch.tensor([0, 2, 3, 3]), torch.tensor([1, 4, 0]), 5)
    second = Block(torch.tensor([0, 2]), torch.tensor([1, 2]), 3)
    for spec in (ModelSpec("sage", 6, 2, residual=True), ModelSpec("gin", 6, 2, jumping_knowledge="cat")):
        assert GNN(spec, load_backend("reference"))([first, second], features(5)).shape == (1, 2)


def test_weights_of_another_architecture_are_refused_and_listed() -> None:
    backend = load_backend("reference")
    model = GNN(ModelSpec("gcn", 6, 3), backend)
    before = model.canonical_state()
    with pytest.raises(CheckpointError, match=r"convs\.1\.bias is missing"):
        model.load_canonical({name: value for name, value in before.items() if name != "convs.1.bias"})
    with pytest.raises(CheckpointError, match=r"convs\.0\.lin\.weight is \[64, 5\], expected \[64, 6\]"):
        model.load_canonical(GNN(ModelSpec("gcn", 5, 3), backend).canonical_state())
    assert all(torch.equal(value, model.canonical_state()[name]) for name, value in before.items())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"norm": "group"}, "norm is 'group', expected one of none, batch, layer"),
        ({"num_layers": 0}, "num_layers is 0, expected at least 1"),
        ({"dropout": 1.0}, "dropout is 1.0, expected a probability"),
    ],
)
def test_impossible_settings(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        model_spec("gcn", 4, 2, **settings)


def test_unknown_names_get_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="'sage'"):
        model_spec("sagee", 4, 2)
    with pytest.raises(UnknownNameError, match="'hidden_channels'"):
        model_spec("gcn", 4, 2, hiden_channels=8)


def test_specification_survives_a_round_trip() -> None:
    for spec in SPECS:
        assert ModelSpec.from_dict(spec.to_dict()) == spec
