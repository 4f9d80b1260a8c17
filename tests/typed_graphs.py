"""A typed graph that can be learnt, with all that is hard: empty types and relations, repeated edges, no features."""

from __future__ import annotations

import torch
from torch.nn import functional

from gnnkit.data import Graph, from_typed


def papers(num_papers: int = 40, num_authors: int = 25, seed: int = 0) -> Graph:
    """Papers with classes, authors without features, venues, and ghosts, of whom there are none."""
    random = torch.Generator().manual_seed(seed)
    counts = {"paper": num_papers, "author": num_authors, "venue": 6, "ghost": 0}
    y = torch.randint(0, 3, (num_papers,), generator=random)

    def edges(src: str, dst: str, num: int) -> torch.Tensor:
        return torch.stack([torch.randint(0, counts[name], (num,), generator=random) for name in (src, dst)])

    writes = edges("author", "paper", 3 * num_papers)
    order = torch.randperm(num_papers, generator=random)
    return from_typed(
        {
            "paper:cites:paper": torch.cat(
                [edges("paper", "paper", 3 * num_papers), torch.tensor([[0, 1], [0, 0]])], 1
            ),
            "author:writes:paper": torch.cat([writes, writes[:, :2]], 1),
            "paper:written_by:author": torch.cat([writes, writes[:, :2]], 1).flip(0),
            "paper:at:venue": edges("paper", "venue", num_papers),
            "venue:prints:paper": torch.zeros(2, 0, dtype=torch.int64),
            "ghost:haunts:paper": torch.zeros(2, 0, dtype=torch.int64),
        },
        num_nodes=counts,
        x={
            "paper": torch.cat([functional.one_hot(y, 3).float(), torch.randn(num_papers, 2, generator=random)], dim=1),
            "venue": torch.randn(6, 4, generator=random),
        },
        y={"paper": y},
        splits={
            "paper": {
                "train": order[: num_papers // 2],
                "valid": order[num_papers // 2 : 3 * num_papers // 4],
                "test": order[3 * num_papers // 4 :],
            }
        },
        reverses={"author:writes:paper": "paper:written_by:author"},
        name="papers",
    )
