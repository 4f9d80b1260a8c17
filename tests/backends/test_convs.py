"""Every installed backend passes the conformance kit, the reference backend on CUDA too."""

from __future__ import annotations

import pytest
import torch

from gnnkit.testing import BackendSuite, conform


class TestBackends(BackendSuite):
    """The kit, once for each installed backend. One that is installed and does not start fails, it is not skipped."""

    @pytest.fixture(autouse=True)
    def _named(self, backend_name: str) -> None:
        self.name = backend_name


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_the_reference_backend_is_conformant_on_cuda() -> None:
    report = conform("reference", device="cuda")
    assert report.is_conformant, report.problems
