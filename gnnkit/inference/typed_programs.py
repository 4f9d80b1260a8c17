"""Models of typed graphs as functions of tensors by node type and by relation: what an exported program computes.

Rules: nodes of the types follow one another in the schema's order, and edges of the relations likewise; ids count
within their types. All sizes are free, that of any type or relation may be 0.
"""

from __future__ import annotations

from typing import Dict, List, Mapping, Optional, Tuple

import torch
from torch import Tensor, nn

from gnnkit.data import BatchLayout, Block, Graph, TypedInputs, from_typed, full_block
from gnnkit.data.batch import BlockLayout
from gnnkit.data.typed_views import relation_edges
from gnnkit.errors import CapabilityError
from gnnkit.nn import GNN, ModelSpec
from gnnkit.tasks import PairHead

ByName = Mapping[str, Tensor]

_ONLY = "programs of typed graphs compute outputs of nodes, in format torch."
_BLOCK = ("indptr", "indices", "dst", "edge_type", "src_type")


class TypedProgram(nn.Module):
    """A model as a function of tensors over a whole typed graph."""

    def __init__(self, model: GNN) -> None:
        super().__init__()
        assert model.spec.typed is not None, "the model is of typed graphs"
        self.model = model
        self.types = model.spec.typed.schema.node_types
        self.relations = model.spec.typed.schema.relations

    def forward(self, x: Dict[str, Tensor], edge_index: Dict[str, Tensor]) -> Dict[str, Tensor]:
        """Outputs by node type, each [N_t, out_channels]; edges of a relation may come in any order."""
        tables = [x[name] if x[name].ndim == 2 else x[name][:, None] for name in self.types]
        sizes = [table.shape[0] for table in tables]
        starts: Dict[str, int] = {}
        num_nodes = 0
        for name, size in zip(self.types, sizes):
            starts[name] = num_nodes
            num_nodes = num_nodes + size
        edges = [edge_index[str(relation)] for relation in self.relations]
        src = torch.cat([e[0] + starts[r.src] for e, r in zip(edges, self.relations)])
        dst = torch.cat([e[1] + starts[r.dst] for e, r in zip(edges, self.relations)])
        edge_type = torch.cat([torch.full_like(e[0], number) for number, e in enumerate(edges)])
        src_type = torch.cat([src.new_full((size,), number) for number, size in enumerate(sizes)])
        degrees = dst.new_zeros(num_nodes).index_add(0, dst, torch.ones_like(dst))
        indptr = torch.cat([degrees.new_zeros(1), degrees.cumsum(0)])
        block = BlockLayout(num_nodes, _BLOCK)
        layout = BatchLayout((block,), (0,) * self.model.num_layers, num_tables=len(tables))
        rows = torch.arange(num_nodes, device=dst.device)
        batch = layout.unflatten((indptr, src, dst, edge_type, src_type, *tables, rows))
        out: Tensor = self.model(batch.blocks, batch.x)
        return dict(zip(self.types, torch.split(out, sizes)))


def check_typed(model: GNN, graph: Graph, format: str, head: Optional[PairHead]) -> None:
    """Refuse a model of typed graphs that no program can be written of.

    Raises:
        CapabilityError: For what reason.
    """
    spec = model.spec
    convs = [spec.conv_spec(i) for i in range(spec.num_layers)]
    is_affine = spec.relational in ("sum", "mean") and all(c.convolution.is_affine(c.options) for c in convs)
    is_weighted = graph.edge_weight is not None and any(conv.convolution.reads_weights for conv in convs)
    for is_refused, what in (
        (format != "torch", f"to format {format!r}: {_ONLY} Take format torch (*.pt2)."),
        (head is not None, f"with the scores of pairs: {_ONLY} Write scores with gnnkit predict."),
        (spec.pooling != "none", f"about whole graphs: {_ONLY} Predict with gnnkit."),
        (
            spec.relational != "none" and not is_affine,
            f"of a {spec.name!r} for each relation, combined by {spec.relational!r}. Take rgcn, rgat or hgt, or "
            "sage or graphconv with relational 'sum' or 'mean'.",
        ),
        (is_weighted, f"of {spec.name!r}, which reads edge weights. Take sage, rgcn, rgat or hgt."),
    ):
        if is_refused:
            raise CapabilityError(f"A model of typed graphs cannot be exported {what}")


def typed_inputs(graph: Graph, dtype: torch.dtype) -> Dict[str, ByName]:
    """What a program of a typed model takes, for a typed graph."""
    typed = graph.typed
    assert typed is not None
    x = {
        name: _features(typed.x[name], dtype) if name in typed.x else torch.arange(count)
        for name, count in typed.num_nodes.items()
    }
    return {"x": x, "edge_index": {str(each): relation_edges(graph, str(each)) for each in typed.schema.relations}}


def _features(x: Tensor, dtype: torch.dtype) -> Tensor:
    return x.to(dtype) if x.is_floating_point() else x


def random_typed_inputs(spec: ModelSpec, num_nodes: int, dtype: torch.dtype) -> Dict[str, ByName]:
    """Features and edges at random: hubs, repeated edges, nodes without neighbours, types of unequal size."""
    types = spec.typed
    assert types is not None
    draw = torch.Generator().manual_seed(num_nodes)
    sizes = {name: num_nodes + 3 * number for number, name in enumerate(types.schema.node_types)}
    x: Dict[str, Tensor] = {}
    for number, name in enumerate(types.schema.node_types):
        width, num_embeddings = types.channels[number], types.num_nodes[number]
        if types.categories_of(number):
            columns = [torch.randint(0, size, (sizes[name],), generator=draw) for size in types.categories_of(number)]
            x[name] = torch.stack(columns, dim=1)
        elif width is None:
            x[name] = torch.randint(0, max(num_embeddings or 0, 1), (sizes[name],), generator=draw)
        else:
            x[name] = torch.randn(sizes[name], width, generator=draw).to(dtype)
    edges: Dict[str, Tensor] = {}
    for number, relation in enumerate(types.schema.relations):
        ends = [sizes[relation.src] - 3, sizes[relation.dst] - 3]
        rows = torch.stack([torch.randint(0, end, (2 * num_nodes + number,), generator=draw) for end in ends])
        rows[1, : num_nodes // 2] = 0
        edges[str(relation)] = rows
    return {"x": x, "edge_index": edges}


def typed_outputs(model: GNN, inputs: Mapping[str, ByName]) -> Tensor:
    """What the model itself gives for a program's inputs, type by type. Shape [N, out_channels]."""
    x, sizes = inputs["x"], {name: len(table) for name, table in inputs["x"].items()}
    graph = from_typed(inputs["edge_index"], num_nodes=sizes, node_types=list(sizes))
    tables = tuple(table if table.ndim == 2 else table[:, None] for table in x.values())
    rows = torch.arange(graph.num_nodes)
    blocks: List[Block] = [full_block(graph)] * model.num_layers
    found: Tensor = model(blocks, TypedInputs(tables, rows))
    return found


def typed_sizes(inputs: Mapping[str, ByName]) -> Dict[str, Dict[str, Tuple[object, ...]]]:
    """Which dimensions of a program's inputs are free, for ``torch.export``."""
    nodes = {name: {0: torch.export.Dim(f"num_nodes_{i}")} for i, name in enumerate(inputs["x"])}
    edges = {name: {1: torch.export.Dim(f"num_edges_{i}")} for i, name in enumerate(inputs["edge_index"])}
    return {"x": nodes, "edge_index": edges}  # type: ignore[dict-item]
