"""A block by its relations: what relational convolutions compute along.

Rules: a block without types is of one relation and one type. Relations and types that a block lacks change no shape of
a parameter. There are two forms. *Sorted*: runs of edges, pairs of source and relation, and nodes by type, as they
occur; their numbers are data, so shapes are free. *Dense*: every source stands once for each relation, every node is
multiplied for each type; shapes are those of the block, which is what compiled devices need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

from gnnkit.data import Block, TypedInputs
from gnnkit.jit import kernel
from gnnkit.loading.runs import edge_runs
from gnnkit.nn.segments import segment_linear

if TYPE_CHECKING:
    from gnnkit.nn.message_passing import MessageOps


class Runs(NamedTuple):
    """The edges of a block as runs with one destination and one relation, sorted by (relation, destination).

    Attributes:
        gather: The lowered block from sources to runs.
        spread: The lowered block from runs to destinations.
        ptr: Where the runs of each relation begin, and where the last one's end.
        block: What ``gather`` was lowered from.
        dst: Destination of each run. Shape [runs], int64.
    """

    gather: Any
    spread: Any
    ptr: List[int]
    block: Block
    dst: Tensor


class Pairs(NamedTuple):
    """The sources of a block, once for each relation that they have edges of.

    Attributes:
        lowered: The lowered block whose sources are the pairs; destinations and edges are the block's own.
        sources: Source of each pair, sorted by relation. Shape [P], int64. None in the dense form: all sources for
            each relation.
        ptr: Where the pairs of each relation begin, and where the last one's end.
        relations: Relation of each pair. Shape [P], int64.
    """

    lowered: Any
    sources: Optional[Tensor]
    ptr: List[int]
    relations: Tensor


def sum_runs(ops: MessageOps, runs: Runs, values: Tensor) -> Tensor:
    """Add up what each destination has of its runs.

    Args:
        ops: The primitives of the backend that lowered the runs.
        runs: The runs.
        values: Of each run. Shape [runs, F].

    Returns:
        Shape [num_dst, F].
    """
    out: Tensor = _SumRuns.apply(values, ops, runs)  # type: ignore[no-untyped-call]
    return out


class _SumRuns(torch.autograd.Function):
    """A run has one destination, so the gradient of the sum is a choice of rows, which needs no transposed block."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, ops: MessageOps, runs: Runs) -> Tensor:
        ctx.dst, ctx.dtype = runs.dst, values.dtype
        return ops.aggregate(runs.spread, values, "sum")

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tuple[Tensor, None, None]:
        return grad.to(ctx.dtype).index_select(0, ctx.dst), None, None


class Relations:
    """A typed block in the forms that relational convolutions need, each made once, when it is first asked for.

    Args:
        block: The message flow of one layer.
        lower: The backend's ``lower``, for the blocks that are made of it.
        dense: Whether forms have fixed shapes.

    Example:
        >>> block = Block(torch.tensor([0, 3]), torch.tensor([1, 2, 1]), 3, edge_type=torch.tensor([0, 0, 1]))
        >>> runs = Relations(block, lambda block: block).runs(2)
        >>> runs.ptr, runs.gather.indptr.tolist(), runs.spread.indices.tolist()
        ([0, 1, 2], [0, 2, 3], [0, 1])
    """

    def __init__(self, block: Block, lower: Callable[[Block], Any], *, dense: bool = False) -> None:
        self.block = block
        self.dense = dense
        self._lower = lower
        self._made: Dict[Tuple[str, int], Any] = {}

    @property
    def edge_type(self) -> Tensor:
        """Relation of every edge. Shape [E], int64."""
        block = self.block
        return torch.zeros_like(block.indices) if block.edge_type is None else block.edge_type

    @property
    def src_type(self) -> Tensor:
        """Type of every source. Shape [num_src], int64."""
        block = self.block
        if block.src_type is None:
            return torch.zeros(block.num_src, dtype=torch.int64, device=block.indices.device)
        return block.src_type

    def shares(self, num_relations: int, dtype: torch.dtype) -> Tensor:
        """One over the number of edges of the same destination and relation. Shape [E], of the given type."""
        place = self.block.dst * num_relations + self.edge_type
        counts = torch.zeros(self.block.num_dst * num_relations, device=place.device)
        counts = counts.scatter_add(0, place, torch.ones_like(place, dtype=counts.dtype))
        # Counts are whole numbers, which half precision cannot hold.
        exact = torch.float64 if dtype == torch.float64 else torch.float32
        return counts.index_select(0, place).to(exact).reciprocal().to(dtype)

    def runs(self, num_relations: int) -> Runs:
        """The runs of edges; for the sorted form.

        Args:
            num_relations: How many relations the schema has.
        """
        runs: Runs = self.once("runs", num_relations, self._make_runs)
        return runs

    def runs_and_own(self, num_relations: int, num_types: int) -> Runs:
        """The runs, and after them each destination as a run of itself, sorted by type; for the sorted form.

        Args:
            num_relations: How many relations the schema has.
            num_types: How many node types.

        Returns:
            Runs of ``num_relations + num_types`` relations.
        """

        def make(number: int) -> Runs:
            block, types = self.block, self.src_type[: self.block.num_dst]
            indptr = block.indptr + torch.arange(block.num_dst + 1, device=block.indptr.device)
            kinds, sources = (torch.empty(int(indptr[-1]), dtype=torch.int64) for _ in range(2))
            arrays = [each.cpu().numpy() for each in (block.indptr, block.indices, self.edge_type, types)]
            indptrs, indices, edge_types, node_types = arrays
            _with_own(indptrs, indices, edge_types, node_types, num_relations, sources.numpy(), kinds.numpy())
            device = block.indices.device
            whole = Block(indptr, sources.to(device), block.num_src, edge_type=kinds.to(device))
            return Relations(whole, self._lower).runs(num_relations + number)

        runs: Runs = self.once("runs_and_own", num_types, make)
        return runs

    def by_table(self, runs: Runs, types: Sequence[int], x: TypedInputs) -> List[Any]:
        """The lowered block of each relation's runs from the table of its source type.

        Where all runs have one edge, as those of destinations themselves, the rows in the table stand instead: a tensor
        of shape [runs], int64. It is empty for a relation without runs.

        Args:
            runs: Of this block.
            types: Source type of each of their relations.
            x: The sources. Asked again for the same ``x.rows``, the blocks are those made before.
        """
        made = self._made.get(("tables", len(types)))
        if made is None or made[0] is not x.rows:
            starts = [sum(x.sizes[:number]) for number in range(len(x.sizes))]
            indptr, rows = runs.block.indptr, x.rows.index_select(0, runs.block.indices)
            found: List[Any] = []
            for kind, first, last in zip(types, runs.ptr, runs.ptr[1:]):
                own = indptr[first : last + 1]
                chosen = rows[int(own[0]) : int(own[-1])] - starts[kind]
                is_single = len(chosen) == last - first
                found.append(chosen if is_single else self._lower(Block(own - own[0], chosen, x.sizes[kind])))
            made = self._made[("tables", len(types))] = (x.rows, found)
        lowered: List[Any] = made[1]
        return lowered

    def pairs(self, num_relations: int) -> Pairs:
        """The pairs of source and relation.

        Args:
            num_relations: How many relations the schema has.
        """
        pairs: Pairs = self.once("pairs", num_relations, self._dense_pairs if self.dense else self._make_pairs)
        return pairs

    def of_pairs(self, h_src: Tensor, weight: Tensor) -> Tensor:
        """The sources multiplied by the matrix of each relation that they have edges of.

        Args:
            h_src: Shape [num_src, in].
            weight: The relations' matrices. Shape [R, out, in], or [R, G, out, in] for G blocks side by side.

        Returns:
            For each pair [P, G * out].
        """
        pairs = self.pairs(len(weight))
        if pairs.sources is not None:
            return segment_linear(h_src.index_select(0, pairs.sources), pairs.ptr, weight)
        if weight.ndim == 3:
            return torch.matmul(h_src, weight.transpose(1, 2)).flatten(0, 1)
        by_block = h_src.reshape(h_src.shape[0], weight.shape[1], weight.shape[3]).transpose(0, 1)
        return torch.matmul(by_block, weight.transpose(2, 3)).transpose(1, 2).flatten(0, 1).flatten(1)

    def by_type(self, h: Tensor, weight: Tensor, bias: Optional[Tensor] = None) -> Tensor:
        """Nodes multiplied by the matrix of their type.

        Args:
            h: Of the first nodes among the sources. Shape [n, in].
            weight: Shape [T, out, in].
            bias: Shape [T, out]. None: there is none.

        Returns:
            Shape [n, out].
        """
        types = self.src_type[: h.shape[0]]  # Of a tensor that is traced, len is a number.
        if len(weight) == 1:
            out = h @ weight[0].t()
            return out if bias is None else out + bias[0]
        if self.dense:
            parts = torch.matmul(h, weight.transpose(1, 2))
            marks = torch.stack([types == number for number in range(len(weight))])
            out = (parts * marks.to(parts.dtype)[:, :, None]).sum(0)
        else:
            order, inverse, ptr = self.once(f"types{len(h)}", len(weight), lambda num: _type_order(types, num))
            out = segment_linear(h.index_select(0, order), ptr, weight).index_select(0, inverse)
        return out if bias is None else out + bias.index_select(0, types)

    def once(self, name: str, number: int, make: Callable[[int], Any]) -> Any:
        """What was made under a name and a number, made now if it is asked for the first time.

        Args:
            name: What it is.
            number: Of relations or types.
            make: Makes it, from the number.
        """
        key = name, number
        if key not in self._made:
            self._made[key] = make(number)
        return self._made[key]

    def _make_runs(self, num_relations: int) -> Runs:
        block, device = self.block, self.block.indices.device
        found = edge_runs(block.map(torch.Tensor.cpu), self.edge_type.cpu().numpy(), num_relations)
        arrays = (found.indptr, found.sources, found.dst_indptr, found.places, found.dst)
        indptr, sources, ends, places, dst = (torch.from_numpy(array).to(device) for array in arrays)
        # The sources of a reduced block are its runs, in their order: nothing is left to be added up.
        gather = Block(indptr, sources, block.num_src, is_reduced=block.is_reduced)
        spread = Block(ends, places, len(places))
        return Runs(self._lower(gather), self._lower(spread), found.ptr.tolist(), gather, dst)

    def _make_pairs(self, num_relations: int) -> Pairs:
        block, device = self.block, self.block.indices.device
        order = torch.argsort(self.edge_type, stable=True).cpu().numpy()
        indices, types = block.indices.cpu().numpy(), self.edge_type.cpu().numpy()
        sources, pairs = np.empty((2, block.num_edges), dtype=np.int64)
        ptr = np.zeros(num_relations + 1, dtype=np.int64)
        num = _fill_pairs(indices, types, order, block.num_src, sources, pairs, ptr)
        lowered = self._lower(_with_sources(block, torch.from_numpy(pairs).to(device), num))
        relations = torch.from_numpy(np.repeat(np.arange(num_relations), np.diff(ptr))).to(device)
        return Pairs(lowered, torch.from_numpy(sources[:num].copy()).to(device), ptr.tolist(), relations)

    def _dense_pairs(self, num_relations: int) -> Pairs:
        block, num = self.block, self.block.num_src
        lowered = self._lower(_with_sources(block, self.edge_type * num + block.indices, num * num_relations))
        relations = torch.arange(num_relations, device=block.indices.device)[:, None].expand(-1, num).flatten()
        return Pairs(lowered, None, [num * number for number in range(num_relations + 1)], relations)


def _with_sources(block: Block, indices: Tensor, num_src: int) -> Block:
    """A block with other sources; weights and features of edges stay."""
    other = Block(block.indptr, indices, num_src, edge_mask=block.edge_mask, dst_mask=block.dst_mask)
    vars(other).update(dst=block.dst)  # Computing it would make shapes that depend on values.
    return other


def _type_order(types: Tensor, num_types: int) -> Tuple[Tensor, Tensor, List[int]]:
    order = torch.argsort(types, stable=True)
    inverse = torch.empty_like(order)
    inverse[order] = torch.arange(len(order), device=order.device)
    counts = torch.bincount(types, minlength=num_types).cumsum(0).tolist()
    return order, inverse, [0, *counts]


@kernel
def _with_own(
    indptr: Any, indices: Any, types: Any, node_types: Any, num_relations: int, sources: Any, kinds: Any
) -> None:
    """Write the edges with one more for each destination, from itself, of a relation of its type after all others."""
    for destination in range(len(indptr) - 1):
        for edge in range(indptr[destination], indptr[destination + 1]):
            sources[edge + destination] = indices[edge]
            kinds[edge + destination] = types[edge]
        at = indptr[destination + 1] + destination
        sources[at] = destination
        kinds[at] = num_relations + node_types[destination]


@kernel
def _fill_pairs(indices: Any, types: Any, order: Any, num_src: int, sources: Any, pairs: Any, ptr: Any) -> int:
    """Number the pairs of source and relation; ``order`` has the edges by relation. Returns how many they are."""
    seen, number = np.full(num_src, -1, dtype=np.int64), np.empty(num_src, dtype=np.int64)
    num = 0
    for edge in order:
        source, relation = indices[edge], types[edge]
        if seen[source] != relation:
            seen[source] = relation
            number[source] = num
            sources[num] = source
            num += 1
            ptr[relation + 1] += 1
        pairs[edge] = number[source]
    for relation in range(1, len(ptr)):
        ptr[relation] += ptr[relation - 1]
    return num
