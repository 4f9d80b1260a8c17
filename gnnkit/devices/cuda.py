"""The device ``cuda``."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import Any, Callable, ClassVar, ContextManager, Dict, Iterator

import torch

from gnnkit.availability import NO_HARDWARE, READY, Availability
from gnnkit.data import Batch
from gnnkit.devices.base import DeviceCapabilities
from gnnkit.devices.eager import EagerDevice

_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


class CudaDevice(EagerDevice):
    """The first CUDA GPU that torch sees."""

    name: ClassVar[str] = "cuda"
    priority: ClassVar[int] = 10
    capabilities: ClassVar[DeviceCapabilities] = DeviceCapabilities("cuda")

    @classmethod
    def probe(cls) -> Availability:
        """See :class:`Device`."""
        if torch.cuda.is_available():
            return Availability(READY, f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}")
        if torch.version.cuda is None:
            return Availability(
                NO_HARDWARE,
                f"torch {torch.__version__} is built without CUDA.",
                "install a CUDA build of torch on a machine with an NVIDIA GPU.",
            )
        return Availability(
            NO_HARDWARE,
            f"torch {torch.__version__} was built for CUDA {torch.version.cuda} but sees no GPU.",
            "check 'nvidia-smi' and CUDA_VISIBLE_DEVICES.",
        )

    def put(self, batch: Batch) -> Batch:
        """See :class:`Device`; page-locked memory lets the copy run beside computation."""
        if batch.x.device.type == "cuda":
            return batch
        return batch.map(lambda tensor: tensor.pin_memory()).to(self.torch_device, non_blocking=True)

    def deterministic(self, report: Callable[[str], None]) -> ContextManager[None]:
        """See :class:`Device`."""
        report("Graph libraries' own kernels may add in any order on a GPU; torch's switch does not reach them.")
        return _deterministic(super().deterministic(report))

    def synchronize(self) -> None:
        """See :class:`Device`."""
        torch.cuda.synchronize()

    def memory(self) -> Dict[str, int]:
        """Peak memory that torch allocated on the GPU, in bytes."""
        return {"peak_allocated": torch.cuda.max_memory_allocated()}

    def describe(self) -> Dict[str, Any]:
        """See :class:`Device`."""
        return {"gpu": torch.cuda.get_device_name(), "cuda": torch.version.cuda}


@contextmanager
def _deterministic(torch_settings: ContextManager[None]) -> Iterator[None]:
    # cuBLAS repeats its bits only with a workspace of fixed size, which it takes from the environment.
    before = os.environ.get(_WORKSPACE)
    os.environ.setdefault(_WORKSPACE, ":4096:8")
    try:
        with torch_settings:
            yield
    finally:
        if before is None:
            del os.environ[_WORKSPACE]
