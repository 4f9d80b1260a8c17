"""What a block is lowered to."""

from __future__ import annotations

from copy import copy
from functools import cached_property
from typing import Any

import torch

from gnnkit.backends import BlockSums
from gnnkit.data import Block
from gnnkit.nn import Relations


class DglBlock:
    """A block as DGL takes it, made when a layer first asks for it, and the block's sums.

    Args:
        block: The message flow of one layer.

    Attributes:
        block: The block.
        relations: The block by its relations.
        sums: The block's sums, which take half as long as DGL's; None on other devices than the CPU.
        is_reduced: As the block says.
    """

    def __init__(self, block: Block) -> None:
        # A copy, which does not know of its lowered form: two that hold each other would keep their memory for long.
        self.block = copy(block)
        vars(self.block).pop("lowered", None)
        self.is_reduced = block.is_reduced
        self.sums = BlockSums(self.block) if block.indptr.device.type == "cpu" else None
        self.relations = Relations(self.block, DglBlock)

    @cached_property
    def native(self) -> Any:
        """The ``DGLBlock``, which shares the block's memory, with weights as "weight" and edge features as "attr".

        This is what ``dgl.create_block`` comes down to, in a fifth of the time: without its search through all ids for
        one that is too large, since a sampler made them, and without its graph of types, which one type does not need.
        DGL must be imported, as it is by a backend that has been made.
        """
        from dgl.heterograph import DGLBlock
        from dgl.heterograph_index import create_unitgraph_from_csr

        block = self.block
        # Edge ids are written out because one of DGL's CPU kernels, the sum of edge features, fails where they are left
        # to be understood. The formats that are missing DGL builds by itself when an operation asks for them.
        edge_ids = torch.arange(block.num_edges, device=block.indices.device)
        csc = (block.indptr, block.indices, edge_ids)
        index = create_unitgraph_from_csr(2, block.num_src, block.num_dst, *csc, ["coo", "csr", "csc"], transpose=True)
        native = DGLBlock(index, (["_N"], ["_N"]), ["_E"])
        if block.edge_weight is not None:
            native.edata["weight"] = block.edge_weight
        if block.edge_attr is not None:
            native.edata["attr"] = block.edge_attr
        return native
