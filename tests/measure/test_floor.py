"""The least work of a step follows from the model and the sizes of its blocks."""

from __future__ import annotations

import pytest

from gnnkit.backends import load_backend
from gnnkit.data import full_block
from gnnkit.loading import BatchSizes
from gnnkit.measure.floor import step_products
from gnnkit.nn import GNN, ModelSpec
from tests.graphs import communities


@pytest.mark.parametrize(
    "options, times",
    [
        ({"conv": "gcn", "input_dropout": 0.5}, 1),
        ({"conv": "sage"}, 1),
        ({"conv": "sage", "aggregation": "max", "residual": True}, 1),
        ({"conv": "gatv2", "heads": 2}, 1),
        ({"conv": "gat", "heads": 2}, 2),  # The backend transforms destinations, which are sources, once more.
        ({"conv": "gin", "jumping_knowledge": "cat"}, 1),
    ],
    ids=str,
)
def test_operations_are_those_that_a_step_on_dense_matrices_does(options: dict, times: int) -> None:
    """On one block for all layers no library can save rows, so the formula must equal what torch counts."""
    counter = pytest.importorskip("torch.utils.flop_counter")
    graph = communities()
    spec = ModelSpec.from_dict({"in_channels": graph.num_features, "out_channels": 3, "hidden_channels": 16, **options})
    model = GNN(spec, load_backend("reference"))
    with counter.FlopCounterMode(display=False) as counted:
        model([full_block(graph)] * 2, graph.x).sum().backward()
    products = step_products(spec, BatchSizes((graph.num_nodes,) * 3, (graph.num_edges,) * 2))
    assert times * sum(product.flops for product in products) == counted.get_total_flops()


def test_rows_are_destinations_unless_every_source_needs_the_product() -> None:
    sizes = BatchSizes((100, 30, 5), (200, 40))
    rows = {}
    for conv in ("gcn", "sage", "gat", "gatv2", "gin"):
        products = step_products(ModelSpec(conv, 8, 3), sizes)
        rows[conv] = [product.rows for product in products]
    assert rows == {
        "gcn": [30, 5],
        "sage": [30, 30, 5, 5],
        "gat": [100, 30],
        "gatv2": [100, 30, 30, 5],
        "gin": [30, 30, 5, 5],
    }


def test_layers_by_name_are_unknown() -> None:
    spec = ModelSpec("torch_geometric.nn:SAGEConv", 8, 3)
    assert step_products(spec, BatchSizes((9, 5, 2), (4, 4))) is None
