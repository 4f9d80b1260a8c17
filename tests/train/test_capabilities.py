"""What a backend or a device does not declare is refused in words."""

from __future__ import annotations

import pytest

import gnnkit
from gnnkit.backends import BackendCapabilities
from gnnkit.backends.reference import ReferenceBackend
from gnnkit.devices import DeviceCapabilities
from gnnkit.devices.cpu import CpuDevice
from gnnkit.errors import CapabilityError
from gnnkit.nn import ModelSpec
from gnnkit.tasks import NodeClassification, Unsupervised
from gnnkit.testing import communities
from gnnkit.train.capabilities import check_capabilities


class Narrow(ReferenceBackend):
    name = "narrow"
    capabilities = BackendCapabilities(convs=frozenset({"gcn"}), dtypes=frozenset({"float32"}), note="It is young.")


class MeanOnly(ReferenceBackend):
    name = "mean-only"
    capabilities = BackendCapabilities(
        convs=frozenset({"sage", "gat"}),
        aggregations=frozenset({"mean"}),
        excludes=({"conv": "gat", "precision": "bfloat16"},),
        note="It is young.",
    )


class Particular(CpuDevice):
    name = "particular"
    capabilities = DeviceCapabilities(
        "cpu",
        backends=frozenset({"reference"}),
        excludes=({"conv": "sage", "aggregation": "max", "task": "unsupervised"},),
    )


class Small(CpuDevice):
    name = "small"
    capabilities = DeviceCapabilities("cpu", dtypes=frozenset({"float32"}))


class Ragged(NodeClassification):
    name = "ragged"
    needs = frozenset({"free_shapes"})


def check(backend, device, conv="gcn", precision="float32", task=NodeClassification, **settings):
    spec = ModelSpec.from_dict({"conv": conv, "in_channels": 2, "out_channels": 2, **settings})
    check_capabilities(backend, device, spec=spec, precision=precision, task=task)


def test_what_is_declared_passes() -> None:
    check(Narrow(), CpuDevice())
    check(Narrow(), CpuDevice(), task=Ragged)
    check(Narrow(), Small(), task=Unsupervised)


@pytest.mark.parametrize(
    "device, wanted, words",
    [
        (CpuDevice, {"conv": "gat"}, r"'narrow' has no convolution 'gat'; it has gcn\. It is young\."),
        (CpuDevice, {"precision": "bfloat16"}, r"'bfloat16' .* 'narrow' on device 'cpu', which offer float32\. It is"),
        (Small, {"task": Ragged}, r"Device 'small' does not do task 'ragged', whose loss needs free_shapes"),
    ],
)
def test_what_is_not_declared_is_refused(device: type, wanted: dict, words: str) -> None:
    with pytest.raises(CapabilityError, match=words):
        check(Narrow(), device(), **wanted)


@pytest.mark.parametrize(
    "backend, device, wanted, words",
    [
        (
            MeanOnly,
            CpuDevice,
            {"conv": "sage", "aggregation": "max"},
            "'sage' with aggregation 'max'; it has mean",
        ),
        (
            MeanOnly,
            CpuDevice,
            {"conv": "gat", "precision": "bfloat16"},
            "'mean-only' does not do conv 'gat'",
        ),
        (
            MeanOnly,
            Particular,
            {"conv": "gat"},
            "does not take backend 'mean-only'; it takes ref",
        ),
        (
            ReferenceBackend,
            Particular,
            {"conv": "sage", "aggregation": "max", "task": Unsupervised},
            "'particular' does not do conv 'sage' with aggregation 'max' with task 'unsupervised', though",
        ),
    ],
)
def test_combinations_and_aggregations_are_refused(backend: type, device: type, wanted: dict, words: str) -> None:
    with pytest.raises(CapabilityError, match=words):
        check(backend(), device(), **wanted)


@pytest.mark.parametrize(
    "backend, device, wanted",
    [
        (MeanOnly, CpuDevice, {"conv": "sage"}),
        (MeanOnly, CpuDevice, {"conv": "gat", "aggregation": "max"}),  # Of no account to attention.
        (ReferenceBackend, Particular, {"conv": "sage", "aggregation": "max"}),
        (ReferenceBackend, Particular, {"conv": "gin", "aggregation": "max", "task": Unsupervised}),
    ],
)
def test_what_falls_under_no_exclusion_passes(backend: type, device: type, wanted: dict) -> None:
    check(backend(), device(), **wanted)


def test_a_trainer_and_a_model_refuse_by_name() -> None:
    graph = communities()
    with pytest.raises(CapabilityError, match="'mean-only' has no 'sage' with aggregation 'max'; it has mean"):
        gnnkit.build_model("sage", graph, backend=MeanOnly(), aggregation="max")
    model = gnnkit.build_model("sage", graph, aggregation="max")
    with pytest.raises(CapabilityError, match="no 'sage' with aggregation 'max'"):
        gnnkit.Trainer(MeanOnly(), CpuDevice(), epochs=1).fit(model, graph)
    with pytest.raises(CapabilityError, match="does not take backend"):
        gnnkit.Trainer(MeanOnly(), Particular(), epochs=1).fit(gnnkit.build_model("sage", graph), graph)
