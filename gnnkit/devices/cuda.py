"""The device ``cuda``."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from typing import Any, Callable, ClassVar, ContextManager, Dict, Iterator, Optional

import torch
from torch import Tensor

from gnnkit.availability import NO_HARDWARE, READY, Availability
from gnnkit.data import Batch
from gnnkit.devices.base import UPDATES, DeviceCapabilities
from gnnkit.devices.eager import EAGER_OFFERS, EagerDevice
from gnnkit.errors import UnavailableError
from gnnkit.place import launched_place

_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


class CudaDevice(EagerDevice):
    """The first CUDA GPU that torch sees; of several processes of a machine, each has one of its own."""

    name: ClassVar[str] = "cuda"
    priority: ClassVar[int] = 10
    capabilities: ClassVar[DeviceCapabilities] = DeviceCapabilities("cuda", offers=EAGER_OFFERS, updates=UPDATES)

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

    def __init__(self) -> None:
        super().__init__()
        place = launched_place()
        if place.local_size > 1 and torch.cuda.is_available():
            if place.local_size > torch.cuda.device_count():
                raise UnavailableError(
                    f"{place.local_size} processes of this machine need a GPU each, and torch sees "
                    f"{torch.cuda.device_count()}. Start fewer, or take device 'cpu'."
                )
            torch.cuda.set_device(place.local_rank)
            # With its number, because a loader's thread would begin with the first GPU.
            self.torch_device = torch.device("cuda", place.local_rank)
        self._streams = threading.local()

    def put(self, batch: Batch) -> Batch:
        """See :class:`Device`; the copy runs from page-locked memory on a stream of the calling thread's own.

        The thread waits until its copy is done, and no other does: steps go on meanwhile on theirs.
        """
        if batch.x.device.type == "cuda":
            return batch
        if not hasattr(self._streams, "copies"):
            self._streams.copies = torch.cuda.Stream(self.torch_device)  # type: ignore[no-untyped-call]
        stream: torch.cuda.Stream = self._streams.copies
        with torch.cuda.stream(stream):
            moved = batch.map(lambda tensor: tensor.pin_memory()).to(self.torch_device, non_blocking=True)
        stream.synchronize()
        return moved.map(self._use_on_default_stream)

    def _use_on_default_stream(self, tensor: Tensor) -> Tensor:
        # Else the memory would be free for the next copy as soon as Python lets go of it, with steps still reading it.
        tensor.record_stream(torch.cuda.default_stream(self.torch_device))
        return tensor

    def seed(self, seed: int) -> None:
        """See :class:`Device`."""
        super().seed(seed)
        torch.cuda.manual_seed(seed)

    def deterministic(self, report: Callable[[str], None]) -> ContextManager[None]:
        """See :class:`Device`."""
        report("Graph libraries' own kernels may add in any order on a GPU; torch's switch does not reach them.")
        return _deterministic(super().deterministic(report))

    def synchronize(self) -> None:
        """See :class:`Device`."""
        torch.cuda.synchronize(self.torch_device)

    def memory(self) -> Dict[str, int]:
        """Peak memory that torch allocated on the GPU, in bytes."""
        return {"peak_allocated": torch.cuda.max_memory_allocated()}

    def free_memory(self) -> Optional[int]:
        """See :class:`Device`."""
        return int(torch.cuda.mem_get_info(self.torch_device)[0])

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
