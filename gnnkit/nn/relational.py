"""A convolution for each relation, and how their outputs become one.

Rules: relation r is computed over its own edges, for the destinations of its type alone, without edges too, as by
PyTorch Geometric's ``HeteroConv`` and DGL's ``HeteroGraphConv``. A node whose type is the destination of no relation
gets 0. Where the convolutions are affine, those of all relations are computed together, by the same formula.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Sequence, Tuple

import torch
from torch import Tensor, nn

from gnnkit.data import Block, Inputs, TypedInputs
from gnnkit.nn.conv_library import ConvLibrary
from gnnkit.nn.convs import ConvSpec
from gnnkit.nn.parameters import NativeParameter
from gnnkit.nn.relations import Relations, Runs, sum_runs
from gnnkit.nn.segments import segment_linear, tables_linear


def make_conv(spec: ConvSpec, backend: ConvLibrary) -> nn.Module:
    """The convolution of a backend, or one of it for each relation."""
    return backend.conv(spec) if spec.relational == "none" else RelationalConv(spec, backend)


def native_parameters(spec: ConvSpec, backend: ConvLibrary) -> Dict[str, NativeParameter]:
    """Where each canonical parameter of a convolution lies in the module that a model makes of it."""
    if spec.relational == "none":
        return dict(backend.parameter_map(spec))
    own = backend.parameter_map(spec.of_relation)
    found = {
        f"relations.{i}.{name}": NativeParameter(f"relations.{i}.{native.name}", native.transpose, native.shape)
        for i in range(spec.num_relations)
        for name, native in own.items()
    }
    return {name: found.get(name, NativeParameter(name)) for name in spec.parameters}


class Part(NamedTuple):
    """What one relation needs of a block.

    Attributes:
        lowered: Its edges, lowered: from all sources to the destinations of its type.
        nodes: Positions of these destinations among the block's. Shape [n], int64.
    """

    lowered: Any
    nodes: Tensor


class RelationalConv(nn.Module):
    """The sum, the mean or an attention over relations of a convolution for each.

    Attention is by node: softmax over the relations into its type of q . tanh(W z + b), for the relation's output z,
    after Wang et al., 2019, "Heterogeneous graph attention network", whose scores are means over all nodes.

    Args:
        spec: The convolution of each relation, with schema and ``relational``.
        backend: Makes the convolutions.
    """

    def __init__(self, spec: ConvSpec, backend: ConvLibrary) -> None:
        super().__init__()
        assert spec.schema is not None, "relations are of a schema"
        self.spec = spec
        self.backend = backend
        self.ops = backend.ops()
        self.relations = nn.ModuleList([backend.conv(spec.of_relation) for _ in spec.schema.relations])
        types = [spec.schema.node_type(relation.dst) for relation in spec.schema.relations]
        counts = torch.tensor([float(types.count(number)) for number in range(spec.num_types)])
        self.types = types
        self.num_into: Tensor
        self.register_buffer("num_into", counts.clamp(min=1), persistent=False)
        self.into: Tensor
        self.register_buffer("into", torch.tensor(types, dtype=torch.int64), persistent=False)
        self._places = dict(backend.parameter_map(spec.of_relation))
        if spec.relational == "attention":
            self.attention = _Attention(spec.out_width)
        is_affine = bool(types) and spec.convolution.is_affine(spec.options)
        self.is_together = is_affine and spec.relational != "attention"

    def prepare(self, lowered: Any) -> None:
        """Make what the block needs besides, in the loader's threads; it is kept with the block."""
        relations = self.ops.relations(lowered)
        if not self._goes_together(relations):
            self._parts(lowered)
        elif not relations.dense:
            relations.runs_and_own(self.spec.num_relations, self.spec.num_types)

    def forward(self, lowered: Any, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """Features of the destinations, [num_dst, out_width]."""
        relations = self.ops.relations(lowered)
        if self._goes_together(relations):
            return self._densely(relations, h_src, h_dst) if relations.dense else self._together(lowered, h_src)
        parts = self._parts(lowered)
        results = [
            conv(part.lowered, h_src, h_dst.index_select(0, part.nodes)) for conv, part in zip(self.relations, parts)
        ]
        out = h_dst.new_zeros(len(h_dst), self.spec.out_width)
        if not results:
            return out
        nodes = torch.cat([part.nodes for part in parts])
        values = torch.cat(results).to(out.dtype)
        if self.spec.relational == "attention":
            values = values * self._shares(values, nodes, len(h_dst))[:, None]
        out = out.index_add(0, nodes, values)
        return self._averaged(relations, out)

    def _goes_together(self, relations: Relations) -> bool:
        """Whether sums over edges as they are will do: edges may have no weights that are read."""
        has_weights = relations.block.edge_weight is not None and self.spec.convolution.reads_weights
        return self.is_together and not has_weights

    def _together(self, lowered: Any, h_src: Tensor) -> Tensor:
        """The same of a convolution that is affine: one product for each relation, and one for each type's own."""
        relations = self.ops.relations(lowered)
        runs = relations.runs_and_own(self.spec.num_relations, self.spec.num_types)
        reduce = "mean" if self.spec.convolution.reduces_first(self.spec.options) == "mean" else "sum"
        reduced = self.ops.aggregate(runs.gather, h_src, reduce)
        weights = torch.cat([self._stacked("lin_neigh.weight"), self._of_types("lin_self.weight")])
        out = sum_runs(self.ops, runs, segment_linear(reduced, runs.ptr, weights))
        return self._finished(relations, out)

    def _densely(self, relations: Relations, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """The same in fixed shapes: every source times each relation's matrix."""
        pairs = relations.pairs(self.spec.num_relations)
        products = relations.of_pairs(h_src, self._stacked("lin_neigh.weight"))
        is_mean = self.spec.convolution.reduces_first(self.spec.options) == "mean"
        shares = relations.shares(self.spec.num_relations, products.dtype) if is_mean else None
        out = self.ops.aggregate(pairs.lowered, products, "sum", shares)
        return self._finished(relations, out + relations.by_type(h_dst, self._of_types("lin_self.weight")))

    def _finished(self, relations: Relations, out: Tensor) -> Tensor:
        if "bias" in self._places:
            types = relations.src_type[: out.shape[0]]
            out = out + self._of_types("bias").to(out.dtype).index_select(0, types)
        return self._averaged(relations, out)

    def projects_later(self, lowered: Any, x: Inputs) -> bool:
        """Whether :meth:`on_tables` can take the features of a batch, and has less to do than :meth:`forward`.

        Means of features as they are need no gradient, and there are fewer of them to be multiplied than sources.
        """
        relations = self.ops.relations(lowered)
        if not isinstance(x, TypedInputs) or relations.dense or not self._goes_together(relations):
            return False
        widths = [table.shape[1] if table.is_floating_point() else None for table in x.tables]
        is_mean = self.spec.convolution.reduces_first(self.spec.options) == "mean"
        return is_mean and all(width is not None and width <= 2 * self.spec.in_channels for width in widths)

    def on_tables(self, lowered: Any, x: TypedInputs, projections: Sequence[nn.Module]) -> Tensor:
        """What :meth:`forward` gives for projected features, by means of features that are projected afterwards.

        Args:
            lowered: The lowered block.
            x: Features of its sources by type.
            projections: The linear layer of each type.

        Returns:
            Shape [num_dst, out_width].
        """
        assert self.spec.schema is not None
        relations = self.ops.relations(lowered)
        runs = relations.runs_and_own(self.spec.num_relations, self.spec.num_types)
        schema = self.spec.schema
        kinds = [*(schema.node_type(each.src) for each in schema.relations), *range(self.spec.num_types)]
        means = self._means(relations, runs, kinds, x)
        matrices, biases = self._projecting(kinds, projections)
        # Also of relations without runs, so that every parameter has a gradient, as where features are projected first.
        return self._averaged(relations, sum_runs(self.ops, runs, tables_linear(means, matrices, biases)))

    def _means(self, relations: Relations, runs: Runs, kinds: List[int], x: TypedInputs) -> List[Tensor]:
        """The mean of features in each run, by relation, and of each destination, by type."""
        if not relations.block.is_reduced:
            parts = zip(relations.by_table(runs, kinds, x), (x.tables[kind] for kind in kinds))
            return [
                table.index_select(0, part) if isinstance(part, Tensor) else self.ops.aggregate(part, table, "mean")
                for part, table in parts
            ]
        sizes = [stop - start for start, stop in zip(runs.ptr, runs.ptr[1:])]
        of_types = sizes[self.spec.num_relations :]  # A table has these first, then its relations' means.
        at = list(of_types)
        means = []
        for kind, size in zip(kinds, sizes[: self.spec.num_relations]):
            means.append(x.tables[kind][at[kind] : at[kind] + size])
            at[kind] += size
        return means + [table[:size] for table, size in zip(x.tables, of_types)]

    def _projecting(
        self, kinds: List[int], projections: Sequence[nn.Module]
    ) -> Tuple[Sequence[Tensor], Sequence[Tensor]]:
        """The matrices of relations, then of types, times the linear layer of their source's type; and the biases."""
        weights = [*self._stacked("lin_neigh.weight").unbind(), *self._of_types("lin_self.weight").unbind()]
        found: Dict[int, Tuple[Tensor, Tensor]] = {}
        for kind, layer in enumerate(projections):
            own = [number for number, each in enumerate(kinds) if each == kind]
            together = torch.cat([weights[number] for number in own])
            products = (together @ layer.get_parameter(name) for name in ("weight", "bias"))
            found.update(zip(own, zip(*(torch.split(product, self.spec.out_width) for product in products))))
        matrices, biases = zip(*(found[number] for number in range(len(kinds))))
        if "bias" in self._places:
            of_types = (a + b for a, b in zip(biases[self.spec.num_relations :], self._of_types("bias").unbind()))
            biases = (*biases[: self.spec.num_relations], *of_types)
        return matrices, biases

    def _averaged(self, relations: Relations, out: Tensor) -> Tensor:
        if self.spec.relational != "mean":
            return out
        types = relations.src_type[: out.shape[0]]
        return out / self.num_into.to(out.dtype).index_select(0, types)[:, None]

    def _stacked(self, name: str) -> Tensor:
        """A canonical parameter of each relation. Shape [R, ...]."""
        place = self._places[name]
        values = torch.stack([conv.get_parameter(place.name) for conv in self.relations])
        return values.transpose(1, 2) if place.transpose else values

    def _of_types(self, name: str) -> Tensor:
        """The sum of a parameter over the relations into each type. Shape [T, ...]."""
        values = self._stacked(name)
        return values.new_zeros(self.spec.num_types, *values.shape[1:]).index_add(0, self.into, values)

    def _shares(self, values: Tensor, nodes: Tensor, num: int) -> Tensor:
        """Attention of every node to the outputs of its relations: [n] numbers that add up to 1 for each node."""
        scores = self.attention(values)
        largest = scores.new_full((num,), -torch.inf).scatter_reduce(0, nodes, scores.detach(), "amax")
        powers = (scores - largest.index_select(0, nodes)).exp()
        sums = powers.new_zeros(num).index_add(0, nodes, powers)
        shares: Tensor = powers / sums.index_select(0, nodes)
        return shares

    def _parts(self, lowered: Any) -> List[Part]:
        relations = self.ops.relations(lowered)
        parts: List[Part] = relations.once("parts", self.spec.num_relations, lambda _: self._make(relations.block))
        return parts

    def _make(self, block: Block) -> List[Part]:
        src_type = torch.zeros(block.num_src, dtype=torch.int64) if block.src_type is None else block.src_type
        edge_type = torch.zeros_like(block.indices) if block.edge_type is None else block.edge_type
        of_type = [(src_type[: block.num_dst] == number).nonzero().flatten() for number in range(self.spec.num_types)]
        parts = []
        for number, kind in enumerate(self.types):
            edges = (edge_type == number).nonzero().flatten()
            counts = torch.bincount(block.dst[edges], minlength=block.num_dst)[of_type[kind]]
            indptr = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
            weight = None if block.edge_weight is None else block.edge_weight[edges]
            own = Block(indptr, block.indices[edges], block.num_src, weight)
            parts.append(Part(self.backend.lower(own), of_type[kind]))
        return parts


class _Attention(nn.Module):
    """q . tanh(W z + b)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, width))
        self.bias = nn.Parameter(torch.empty(width))
        self.query = nn.Parameter(torch.empty(1, width))

    def forward(self, z: Tensor) -> Tensor:
        """Scores, [n, width] to [n]."""
        scores: Tensor = torch.tanh(z @ self.weight.t() + self.bias) @ self.query[0]
        return scores


def dense_relational(spec: ConvSpec, p: Mapping[str, Tensor], block: Block, h: Tensor) -> Tensor:
    """The formula of :class:`RelationalConv` on dense matrices; see :meth:`gnnkit.nn.Convolution.dense`.

    Args:
        spec: The convolution of each relation, with schema and ``relational``.
        p: Canonical parameters, float64.
        block: Its message flow, not padded.
        h: Features of the sources. Shape [num_src, in_channels], float64.
    """
    assert spec.schema is not None and block.src_type is not None and block.edge_type is not None
    one = spec.of_relation
    rows: List[List[Tensor]] = [[] for _ in range(block.num_dst)]
    for number, relation in enumerate(spec.schema.relations):
        own = {name.split(".", 2)[2]: value for name, value in p.items() if name.startswith(f"relations.{number}.")}
        for node in range(block.num_dst):
            if int(block.src_type[node]) != spec.schema.node_type(relation.dst):
                continue
            edges = ((block.dst == node) & (block.edge_type == number)).nonzero().flatten()
            # The node itself comes first among the sources of a block of its own.
            weight = None if block.edge_weight is None else block.edge_weight[edges]
            star = Block(torch.tensor([0, len(edges)]), torch.arange(1, len(edges) + 1), len(edges) + 1, weight)
            sources = torch.cat([torch.tensor([node]), block.indices[edges]])
            rows[node].append(one.convolution.dense(one, own, star, h[sources])[0])
    out = []
    for results in rows:
        if not results:
            out.append(h.new_zeros(spec.out_width))
            continue
        z = torch.stack(results)
        if spec.relational == "attention":
            scores = torch.tanh(z @ p["attention.weight"].T + p["attention.bias"]) @ p["attention.query"][0]
            z = z * torch.softmax(scores, 0)[:, None]
        out.append(z.mean(0) if spec.relational == "mean" else z.sum(0))
    return torch.stack(out)
