"""PopTorch's users' own scripts on the emulator, and what stands in for PopTorch Geometric."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch_geometric.data import Data

from gnnkit.errors import ConfigError
from gnnkit_ipu import emulate, emulator
from gnnkit_ipu.emulator.geometric import FixedSizeDataLoader, FixedSizeOptions, FixedSizeStrategy, OverSizeStrategy
from gnnkit_ipu.emulator.geometric.dataloader import DataLoader

EXAMPLES = Path(__file__).parents[3] / "examples"
SCRIPTS = ("ipu_plain_script", "ipu_padded_graphs", "ipu_packed_graphs")


@pytest.fixture
def root(data_dir, tmp_path):
    """A folder as PyTorch Geometric lays it out."""
    for name, source in (("Cora", "cora"), ("MUTAG", "MUTAG")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "raw").symlink_to(data_dir / source / "raw")
    return tmp_path


def run(name, root, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", [name, "--root", str(root), *arguments])
    monkeypatch.syspath_prepend(str(EXAMPLES))
    with emulate.emulated() as counts:
        found = runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    return found, counts


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_have_no_line_of_gnnkit(name):
    code = (EXAMPLES / f"{name}.py").read_text().split('"""', 2)[2]
    assert "gnnkit" not in code and "import poptorch" in code


def on_the_processor(script, root, seed, epochs):
    """The same model and loop in plain torch."""
    dataset = script["load"](str(root))
    torch.manual_seed(seed)
    model, data, losses = script["Net"](dataset.num_features, dataset.num_classes), dataset[0], []
    torch.manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
    for _ in range(epochs):
        optimizer.zero_grad()
        _, loss = model(data.x, data.edge_index, data.y, data.train_mask)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    with torch.no_grad():
        right = model.eval()(data.x, data.edge_index).argmax(1) == data.y
    return losses, float(right[data.test_mask].float().mean())


def test_the_plain_script_equals_the_processor(root, monkeypatch, tmp_path):
    arguments = ("--epochs", "20", "--seed", "3", "--cache", str(tmp_path / "cache"))
    script, counts = run("ipu_plain_script", root, monkeypatch, *arguments)
    losses, _ = on_the_processor(script, root, 3, 20)
    assert [float(loss) for loss in script["losses"]] == pytest.approx(losses, abs=1e-5)
    assert (counts.compilations, counts.to_host) == (2, 1) and list((tmp_path / "cache").iterdir())


@pytest.mark.long
def test_the_plain_script_is_as_accurate_as_the_processor(root, monkeypatch, tmp_path):
    ours, theirs = [], []
    for seed in range(10):
        arguments = ("--seed", str(seed), "--cache", str(tmp_path / "cache"))
        script, _ = run("ipu_plain_script", root, monkeypatch, *arguments)
        losses, accuracy = on_the_processor(script, root, seed, 100)
        assert [float(loss) for loss in script["losses"]] == pytest.approx(losses, abs=1e-5)
        ours.append(script["accuracies"]["test"])
        theirs.append(accuracy)
    print("mean test accuracy", sum(ours) / 10, sum(theirs) / 10)
    assert sum(ours) / 10 == pytest.approx(sum(theirs) / 10, abs=0.01)


@pytest.mark.parametrize("name", ["ipu_padded_graphs", "ipu_packed_graphs"])
def test_small_graphs(name, root, monkeypatch, capsys):
    script, counts = run(name, root, monkeypatch, "--epochs", "5")
    assert script["losses"][-1] < script["losses"][0] and counts.compilations == 2
    assert "of all node slots are padding" in capsys.readouterr().out


def test_clusters(data_dir, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import ipu_clusters

    with emulator.counting() as counts:
        arguments = ["--device", "ipu-emulator", "--out", str(tmp_path / "out"), "--clusters", "16"]
        found = ipu_clusters.main([*arguments, "--epochs", "5"])
    assert found["accuracy"] > 0.8 and counts.compilations == 2


def test_from_the_shell(tmp_path, capsys):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, poptorch, torch\n"
        "import poptorch.optim\n"
        "print(sys.argv[1:], poptorch.inferenceModel(torch.nn.Linear(2, 1))(torch.ones(1, 2)).shape)\n"
    )
    assert emulate.main([str(script), "--flag"]) == 0
    said = capsys.readouterr()
    assert "['--flag'] torch.Size([1, 1])" in said.out and "Emulated: 1 programs, 1 calls" in said.err
    assert "poptorch" not in sys.modules
    with pytest.raises(ConfigError, match="is no file"):
        emulate.main([str(tmp_path / "other.py")])


def graphs(number, seed=0):
    generator = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(number):
        nodes = int(torch.randint(2, 7, (1,), generator=generator))
        edges = torch.randint(nodes, (2, 3 * nodes), generator=generator)
        x = torch.rand(nodes, 3, generator=generator)
        found.append(Data(x=x, edge_index=edges, y=torch.randint(2, (1,), generator=generator)))
    return found


@pytest.mark.parametrize("strategy", list(FixedSizeStrategy))
def test_batches_of_one_size_hold_every_graph(strategy):
    data = graphs(23)
    sizes = FixedSizeOptions.from_dataset(data, 5)
    loader = FixedSizeDataLoader(data, 5, fixed_size_options=sizes, fixed_size_strategy=strategy, drop_last=True)
    batches = list(loader)
    assert {(b.x.shape, b.edge_index.shape, b.ptr.shape, b.y.shape) for b in batches} == {
        (torch.Size([sizes.num_nodes, 3]), torch.Size([2, sizes.num_edges]), torch.Size([6]), torch.Size([5]))
    }
    for batch in batches:
        assert int(batch.edge_index.max()) < sizes.num_nodes
        last = batch.edge_index[:, ~batch.edges_mask]
        assert torch.equal(last[0], last[1]) and not batch.nodes_mask[last[0]].any()
    seen = torch.cat([batch.x[batch.nodes_mask] for batch in batches])
    assert torch.equal(seen, torch.cat([graph.x for graph in data])[: len(seen)])
    assert len(data) == 23, "the caller's list stays as it is"


def test_micro_batches_of_a_call_are_joined():
    batch = next(iter(DataLoader(graphs(1) * 8, 2, options=emulator.Options().deviceIterations(4))))
    assert batch.y.shape == (8,) and batch.edge_index.shape[0] == 8 and batch.ptr.shape == (12,)


def test_what_does_not_fit():
    data = graphs(4)
    small = FixedSizeOptions(8, 20, 3)
    with pytest.raises(RuntimeError, match="its size is"):
        list(FixedSizeDataLoader(data, 3, fixed_size_options=small))
    trim = OverSizeStrategy.TrimNodesAndEdges
    assert next(iter(FixedSizeDataLoader(data, 3, fixed_size_options=small, over_size_strategy=trim))).x.shape == (8, 3)
    full = FixedSizeOptions(sum(g.num_nodes for g in data[:2]), 99, 3)
    with pytest.raises(emulator.RestrictionError, match="restriction 38"):
        list(FixedSizeDataLoader(data, 3, fixed_size_options=full))
    with pytest.raises(AssertionError, match="expected num_graphs"):
        FixedSizeDataLoader(data, 4, fixed_size_options=small)


def test_a_loss_is_formatted_where_tqdm_does():
    class Net(torch.nn.Linear):
        def forward(self, x, y):
            return F.mse_loss(super().forward(x), y)

    with emulate.emulated():
        import poptorch

        loss = poptorch.trainingModel(Net(2, 1))(torch.ones(1, 2), torch.ones(1, 1))
        assert f"{loss:0.6f}" == f"{float(loss):0.6f}"
