"""What a backend or a device does not declare is refused in words."""

from __future__ import annotations

import pytest

from gnnkit.backends import BackendCapabilities
from gnnkit.backends.reference import ReferenceBackend
from gnnkit.devices import DeviceCapabilities
from gnnkit.devices.cpu import CpuDevice
from gnnkit.errors import CapabilityError
from gnnkit.train.capabilities import check_capabilities


class Narrow(ReferenceBackend):
    name = "narrow"
    capabilities = BackendCapabilities(convs=frozenset({"gcn"}), dtypes=frozenset({"float32"}), note="It is young.")


class Small(CpuDevice):
    name = "small"
    capabilities = DeviceCapabilities("cpu", dtypes=frozenset({"float32"}), tasks=frozenset({"sorting"}))


WANTED = {"conv": "gcn", "precision": "float32", "task": "node_classification"}


def test_what_is_declared_passes() -> None:
    check_capabilities(Narrow(), CpuDevice(), **WANTED)


@pytest.mark.parametrize(
    "device, wanted, words",
    [
        (CpuDevice, {"conv": "gat"}, r"'narrow' has no model 'gat'; it has gcn\. It is young\."),
        (CpuDevice, {"precision": "bfloat16"}, r"'bfloat16' .* 'narrow' on device 'cpu', which offer float32\. It is"),
        (Small, {}, r"Device 'small' does not do 'node_classification'; it does sorting\."),
    ],
)
def test_what_is_not_declared_is_refused(device: type, wanted: dict, words: str) -> None:
    with pytest.raises(CapabilityError, match=words):
        check_capabilities(Narrow(), device(), **{**WANTED, **wanted})
