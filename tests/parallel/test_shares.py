"""What each process has of a batch, and what several cannot share."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import gnnkit
from gnnkit.errors import CapabilityError, ConfigError
from gnnkit.loading import NeighborLoader
from gnnkit.loading.base import part_of
from gnnkit.parallel import Place, World, join_world, launched_place, made_once
from gnnkit.sampling import NeighborSampler


@given(num=st.integers(0, 10_000), size=st.integers(1, 64))
def test_parts_make_up_the_whole(num: int, size: int) -> None:
    parts = [part_of(num, (rank, size)) for rank in range(size)]
    assert [item for part in parts for item in range(num)[part]] == list(range(num))
    counts = [part.stop - part.start for part in parts]
    assert max(counts) - min(counts) <= 1
    assert parts == [slice(*World(Place(rank=rank, size=size)).share(num)) for rank in range(size)]


@pytest.mark.parametrize("size", [2, 3, 7])
def test_shares_draw_the_neighbours_of_the_whole_batch(size: int) -> None:
    graph = gnnkit.load_dataset("digits")
    sampler = NeighborSampler(graph, [3, 2], seed=5)
    nodes = graph.splits["train"]

    def epoch(share: tuple[int, int]) -> list[list[tuple[int, frozenset[int]]]]:
        loader = NeighborLoader(graph, nodes, sampler, batch_size=100, shuffle=True, share=share)
        found = []
        for batch in loader.epoch(3):
            ids = sampler.sample(batch.nodes, epoch=3, batch=batch.key.number).nodes
            block, seen = batch.blocks[-1], []
            for row, node in enumerate(batch.nodes.tolist()):
                sources = block.indices[block.indptr[row] : block.indptr[row + 1]]
                seen.append((node, frozenset(ids[sources].tolist())))
            assert batch.num_targets in (0, len(seen))
            found.append(seen if batch.num_targets else [])
        return found

    whole = epoch((0, 1))
    shares = [epoch((rank, size)) for rank in range(size)]
    assert [[item for share in shares for item in share[number]] for number in range(len(whole))] == whole


def test_a_process_without_items_has_a_batch_without_targets() -> None:
    graph = gnnkit.load_dataset("karate")
    loader = NeighborLoader(
        graph, torch.arange(5), NeighborSampler(graph, [2]), batch_size=3, shuffle=False, share=(0, 3)
    )
    first, second = loader.epoch(0)
    assert (first.num_targets, second.num_targets) == (1, 0)
    assert second.targets is not None and second.targets.mask is not None and not second.targets.mask.any()


TWO = World(Place(rank=0, size=2))
"""Two processes of which nobody hears: what cannot be shared is refused before they would talk."""


@pytest.mark.parametrize(
    "settings, words",
    [
        ({}, "--batch-size or --fanouts"),
        ({"clusters": 3}, "on parts of the graph"),
    ],
)
def test_what_every_process_would_compute_whole_is_refused(settings: dict, words: str) -> None:
    graph = gnnkit.load_dataset("karate")
    with pytest.raises(ConfigError, match=words):
        gnnkit.Trainer(device="cpu", world=TWO, epochs=1, **settings).fit(gnnkit.build_model("gcn", graph), graph)


def test_batch_normalisation_is_refused() -> None:
    graph = gnnkit.load_dataset("karate")
    model = gnnkit.build_model("gcn", graph, norm="batch")
    with pytest.raises(ConfigError, match="norm=layer"):
        gnnkit.Trainer(device="cpu", world=TWO, epochs=1, batch_size=2).fit(model, graph)


def test_a_device_that_does_not_declare_it_is_refused() -> None:
    pytest.importorskip("gnnkit_ipu")
    graph = gnnkit.load_dataset("karate")
    with pytest.raises(CapabilityError, match="several processes"):
        gnnkit.Trainer("ipu", "ipu-emulator", world=TWO, epochs=1, batch_size=2).fit(
            gnnkit.build_model("gcn", graph), graph
        )


def test_one_process_is_a_world_too() -> None:
    world = join_world()
    values = torch.ones(3)
    world.sum_([values])
    world.meet("nobody")
    assert values.tolist() == [1, 1, 1] and world.gathered(7) == [7] and world.is_single_machine
    assert made_once(world, lambda: values, "values") is values
    assert launched_place({"RANK": "3"}).rank == 0, "other launchers' variables mean nothing without torchrun's"
