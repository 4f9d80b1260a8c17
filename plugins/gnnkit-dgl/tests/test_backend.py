"""Importing DGL, probing it, lowering blocks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Dict, Optional

import pytest
import torch

from gnnkit.availability import BROKEN, NOT_INSTALLED, READY
from gnnkit.backends import Backend
from gnnkit.data import Block
from gnnkit.errors import CapabilityError
from gnnkit_dgl.backend import DglBackend
from gnnkit_dgl.compat import has_stand_in, missing_for_graphbolt


def run(code: str, home: object, environment: Optional[Dict[str, str]] = None) -> str:
    """Run code in a new interpreter with an empty home folder; its output; nothing may appear on stderr."""
    clean = {name: value for name, value in os.environ.items() if name != "DGLBACKEND"}
    clean.update({"HOME": str(home), "OMP_NUM_THREADS": "1"}, **(environment or {}))
    done = subprocess.run([sys.executable, "-c", code], env=clean, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_importing_the_package_imports_no_dgl(tmp_path: object) -> None:
    code = """
import sys
import gnnkit_dgl, gnnkit_dgl.backend
assert not [name for name in sys.modules if name.split(".")[0] == "dgl"]
"""
    run(code, tmp_path)


@pytest.mark.skipif(not missing_for_graphbolt(), reason="GraphBolt works with this torch")
def test_the_stand_in(tmp_path: object) -> None:
    code = """
import os, pickle, torch, warnings
warnings.filterwarnings("ignore", message="Dataloader CPU affinity")
from gnnkit_dgl import import_dgl
from gnnkit.errors import CapabilityError
first = import_dgl()
import dgl, dgl.graphbolt, dgl.nn, dgl.dataloading
from dgl.graphbolt import ItemSet
assert first is dgl is import_dgl()
graph = dgl.rand_graph(20, 60)
loader = dgl.dataloading.DataLoader(graph, torch.arange(20), dgl.dataloading.NeighborSampler([3, 3]), batch_size=10)
assert len(list(loader)) == 2
assert not isinstance(graph, dgl.graphbolt.FusedCSCSamplingGraph)
assert pickle.loads(pickle.dumps(torch.relu)) is torch.relu
for use in (lambda: ItemSet([1]), lambda: type("Mine", (dgl.graphbolt.SubgraphSampler,), {}),
            lambda: dgl.graphbolt.BuiltinDataset.load):
    try:
        use()
    except CapabilityError as error:
        assert "cannot be used here: it needs a C++ library built for torch" in str(error), error
        assert "dgl.dataloading" in str(error), error
    else:
        raise SystemExit("nothing was raised")
assert not os.path.exists(os.path.expanduser("~/.dgl"))
"""
    run(code, tmp_path)


@pytest.mark.skipif(not missing_for_graphbolt(), reason="GraphBolt works with this torch")
def test_a_plain_import_that_failed_before_does_no_harm(tmp_path: object) -> None:
    code = """
try:
    import dgl
except ImportError:
    pass
else:
    raise SystemExit("the stand-in is not needed")
from gnnkit_dgl import import_dgl
dgl = import_dgl()
assert dgl.rand_graph(3, 2).num_edges() == 2
"""
    run(code, tmp_path, {"DGLBACKEND": "pytorch"})


PROBED = {
    "": (READY, "dgl 2.1.0, torch"),
    "sys.modules['dgl'] = None": (NOT_INSTALLED, "pip install gnnkit-dgl"),
    "sys.modules['psutil'] = None": (BROKEN, "psutil"),
    "os.environ['DGLBACKEND'] = 'mxnet'": (BROKEN, "set it to pytorch"),
}


def test_probing(tmp_path: object) -> None:
    # Each in a copy of a process that has torch and not yet DGL: a new one takes two seconds.
    code = f"""
import os, sys
from gnnkit_dgl.backend import DglBackend
for prepare in {list(PROBED)}:
    if os.fork() == 0:
        exec(prepare)
        answer = DglBackend.probe()
        print(answer.status, answer.detail, answer.fix, sep="|", flush=True)
        assert answer.is_ready or not [name for name in sys.modules if name.startswith("dgl.")]
        os._exit(0)
    assert os.wait()[1] == 0
"""
    for line, (status, words) in zip(run(code, tmp_path).splitlines(), PROBED.values(), strict=True):
        assert line.startswith(status + "|") and words in line


def test_probing_here(backend: Backend) -> None:
    answer = DglBackend.probe()
    assert answer.is_ready and ("stand-in for GraphBolt active" in answer.detail) == has_stand_in()
    assert backend.versions()["torch"] == torch.__version__


def test_lowering_copies_nothing_and_keeps_the_weights(backend: Backend, block: Block) -> None:
    native = backend.lower(block).native
    assert (native.num_src_nodes(), native.num_dst_nodes()) == (block.num_src, block.num_dst)
    assert native.formats()["created"] == ["csc"]
    indptr, indices, _ = native.adj_tensors("csc")
    assert torch.equal(indptr, block.indptr) and torch.equal(indices, block.indices)
    if block.num_edges:
        assert (indptr.data_ptr(), indices.data_ptr()) == (block.indptr.data_ptr(), block.indices.data_ptr())
    assert ("weight" in native.edata) == (block.edge_weight is not None)
    if block.edge_weight is not None:
        assert torch.equal(native.edata["weight"], block.edge_weight)


def test_a_device_without_kernels_is_refused(backend: Backend) -> None:
    if "cuda" in backend.capabilities.devices:
        pytest.skip("this DGL was built with CUDA")
    device = "cuda" if torch.cuda.is_available() else "meta"
    block = Block(torch.tensor([0, 1]), torch.tensor([0]), 1).map(lambda tensor: tensor.to(device))
    with pytest.raises(CapabilityError, match="DGL on CUDA needs DGL's own CUDA wheel"):
        backend.lower(block)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_layers_on_cuda(backend: Backend, blocks: Dict[str, Block]) -> None:
    if "cuda" not in backend.capabilities.devices:
        pytest.skip("this DGL was built without CUDA")
    from gnnkit.nn import ConvSpec

    for kind in sorted(backend.capabilities.convs):
        conv, h, block = backend.conv(ConvSpec(kind, 4, 3)), torch.randn(40, 4), blocks["hub"]
        expected = conv(backend.lower(block), h, h)
        moved = backend.lower(block.map(lambda tensor: tensor.cuda()))
        torch.testing.assert_close(conv.cuda()(moved, h.cuda(), h.cuda()).cpu(), expected, rtol=1e-4, atol=1e-4)


def test_a_wheel_without_cuda_does_not_offer_it(backend: Backend) -> None:
    if "cuda" in backend.capabilities.devices:
        pytest.skip("this DGL was built with CUDA")
    from gnnkit.devices import choose_device

    assert choose_device("auto", backend).name == "cpu"
    assert "DGL's own CUDA wheel" in backend.capabilities.note


def test_the_readme_says_what_to_import_first(tmp_path: object) -> None:
    readme = Path(__file__).parents[3].joinpath("README.md").read_text(encoding="utf-8")
    blocks = [block for block in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if "gnnkit_dgl" in block]
    assert len(blocks) == 1
    run(f"{blocks[0]}\nimport dgl.nn\nassert dgl.rand_graph(3, 2).num_edges() == 2", tmp_path)
