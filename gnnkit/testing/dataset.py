"""The checks of a data set: it loads, keeps the rules of a graph, and gives the same again."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Dict, Mapping, Optional, Union
from unittest import mock

import torch

from gnnkit.backends import build_model, load_backend
from gnnkit.data import SPLITS, Graph, check_graph, fingerprint
from gnnkit.datasets import Dataset, datasets, load_dataset
from gnnkit.devices import load_device
from gnnkit.errors import DatasetError, GnnkitError, UnknownNameError
from gnnkit.registry import API_VERSION
from gnnkit.testing.compare import expect_error
from gnnkit.testing.places import file_of
from gnnkit.testing.suite import Suite, check
from gnnkit.train import Trainer


class DatasetSuite(Suite):
    """Checks of a data set. Subclass it in a plugin's tests and give its name; pytest does the rest.

    Attributes:
        name: Name that users type, of a family in full: "ogbn-arxiv".
        options: Options to load it with.
        data_dir: Folder in which its files are looked for first. None: ``$GNNKIT_DATA`` and the cache.

    Example:
        >>> class TestMine(DatasetSuite):
        ...     name = "karate"
        >>> TestMine().run(only=["same"]).verdict
        'conformant'
    """

    kind: ClassVar[str] = "dataset"
    floor: ClassVar[int] = 6
    options: Mapping[str, Any] = {}
    data_dir: Optional[Union[str, Path]] = None

    def load(self, seed: int = 0, **changed: Any) -> Graph:
        """Load the data set. Override it for one that is not registered."""
        return load_dataset(self.name, data_dir=self.data_dir, seed=seed, **{**self.options, **changed})

    def dataset_class(self) -> Any:
        """The class that serves the name."""
        names = [name for name in datasets.names() if self.name == name or self.name.startswith(f"{name}-")]
        return datasets.load(max(names, key=len) if names else self.name)

    def plugin_file(self) -> str:
        """See :class:`Suite`."""
        try:
            return file_of(self.dataset_class())
        except Exception:  # One that cannot even be found has no file; the check says what is wrong with it.
            return ""

    def lacks(self, need: str, case: str) -> str:
        """See :class:`Suite`."""
        cls = self.dataset_class()
        if need == "files":
            return "" if cls(requested=self.name, **self.options).files else need
        if need == "labels of nodes":
            return "" if self.load().y is not None else need
        return super().lacks(need, case)

    @check()
    def test_declaration(self) -> None:
        """The declaration is sound.

        The class is a frozen dataclass whose options all have defaults; name and interface version are right; the
        summary is one line.
        """
        cls = self.dataset_class()
        assert issubclass(cls, Dataset), f"the plugin is {cls!r}, expected a Dataset."
        assert cls.name == self.name.split("@")[0] or (cls.is_family and self.name.startswith(f"{cls.name}-")), (
            f"the class is named {cls.name!r}, it was asked for as {self.name!r}."
        )
        assert cls.api_version == API_VERSION, f"api_version is {cls.api_version!r}, this is version {API_VERSION}."
        summary = cls.summary
        assert isinstance(summary, str) and summary and "\n" not in summary, f"summary is {summary!r}, expected a line."
        assert cls.__dataclass_params__.frozen, "the class is not a frozen dataclass."
        missing = [item.name for item in dataclasses.fields(cls) if _has_no_default(item)]
        assert not missing, f"the options {missing} have no defaults."

    @check()
    def test_loads(self) -> None:
        """It loads and keeps every rule of a graph.

        Offsets, indices, lengths, dtypes, labels and splits pass ``check_graph``; the graph has nodes and features and
        carries the name that was asked for.
        """
        graph = self.load()
        assert isinstance(graph, Graph), f"load_dataset gave a {type(graph).__name__}, expected a Graph."
        check_graph(graph)
        assert graph.num_nodes > 0, "the graph has no nodes."
        assert graph.name == self.name, f"the graph is named {graph.name!r}, expected {self.name!r}."

    @check()
    def test_same(self) -> None:
        """The same again.

        Loaded twice with one seed, every array is equal: the fingerprints are the same.
        """
        first, second = (fingerprint(self.load(seed=5)) for _ in range(2))
        assert first == second, f"two loads with one seed differ: {first[:12]} and {second[:12]}."

    @check()
    def test_seeds(self) -> None:
        """A seed changes what is random and nothing else.

        Loads with other seeds pass the checks of a graph and have as many features and classes; they do not depend on
        torch's own random state, and leave it as it was.
        """
        torch.manual_seed(1)
        state = torch.random.get_rng_state()
        graph = self.load(seed=0)
        assert torch.equal(state, torch.random.get_rng_state()), "loading draws from torch's own random numbers."
        torch.manual_seed(2)
        again = self.load(seed=0)
        assert fingerprint(graph) == fingerprint(again), "what is loaded depends on torch's own random state."
        other = self.load(seed=1)
        check_graph(other)
        shapes = [(item.num_features, item.num_classes) for item in (graph, other)]
        assert shapes[0] == shapes[1], f"with another seed features and classes are {shapes[1]}, were {shapes[0]}."

    @check(needs=["labels of nodes"])
    def test_splits(self) -> None:
        """Splits are there, apart, and labelled.

        Training, validation and test nodes are none of them empty, have no node in common and have labels.
        """
        graph = self.load()
        seen: Dict[int, str] = {}
        for split in SPLITS:
            assert split in graph.splits and graph.splits[split].numel(), f"split {split!r} is empty or missing."
            ids = graph.splits[split].tolist()
            shared = [node for node in ids if node in seen]
            assert not shared, f"node {shared[0]} is in {seen[shared[0]]!r} and in {split!r}."
            seen.update(dict.fromkeys(ids, split))
            assert graph.y is not None
            labels = graph.y[graph.splits[split]]
            labelled = (labels >= 0) if labels.ndim == 1 else (labels >= 0).any(dim=1)
            assert bool(labelled.all()), f"node {ids[int((~labelled).nonzero()[0])]} of {split!r} has no label."

    @check(needs=["labels of nodes"])
    def test_trains(self) -> None:
        """A model trains on it.

        Two epochs of a small GraphSAGE on samples run and give finite losses.
        """
        graph = self.load()
        model = build_model("sage", graph, backend=load_backend("reference"), hidden_channels=8)
        small = dataclasses.replace(graph, splits={name: graph.splits[name][:512] for name in SPLITS})
        trainer = Trainer(
            None, load_device("cpu"), progress=False, epochs=2, fanouts=[3, 3], batch_size=128, evaluation="sampled"
        )
        for record in trainer.fit(model, small).history:
            assert torch.isfinite(torch.tensor(record.train_loss)), f"the loss is {record.train_loss}."

    @check()
    def test_unknown_option(self) -> None:
        """An unknown option is refused clearly.

        An option that the data set does not have raises an ``UnknownNameError`` that names it.
        """
        expect_error(UnknownNameError, partial(self.load, no_such_option=1), "no_such_option")

    @check()
    def test_bad_option(self) -> None:
        """An option of the wrong kind is refused clearly.

        Every option that the data set has, given an object that cannot be meant, raises a ``GnnkitError`` that names
        it; so does a seed that is none.
        """
        own = [item.name for item in dataclasses.fields(self.dataset_class()) if item.name not in ("requested", "seed")]
        for name in own:
            expect_error(GnnkitError, partial(self.load, 0, **{name: object()}), name)
        expect_error(GnnkitError, partial(self.load, seed=-1), "seed")

    @check(needs=["files"])
    def test_missing_files(self) -> None:
        """Missing files are told, not raised.

        With an empty folder, an empty cache and no download, loading raises a ``DatasetError`` that names the data set
        or a file.
        """
        with tempfile.TemporaryDirectory() as empty, mock.patch.dict(os.environ):
            os.environ.pop("GNNKIT_DATA", None)
            load = partial(load_dataset, self.name, data_dir=empty, cache_dir=empty, download=False, **self.options)
            expect_error(DatasetError, load, self.name)


def _has_no_default(item: Any) -> bool:
    return item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
