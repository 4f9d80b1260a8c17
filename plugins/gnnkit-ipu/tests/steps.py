"""A module, batches and a step on the emulator, for tests of the device."""

from __future__ import annotations

import torch
from torch import nn

from gnnkit.data import Batch, Block, Targets
from gnnkit.devices import StepOptions
from gnnkit_ipu.device import IpuEmulatorDevice

PLAIN = {"hidden_channels": 8, "dropout": 0.0, "input_dropout": 0.0}


class Regression(nn.Module):
    """Mean squared error of a linear map of the targets that are not ignored."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 1, bias=False)
        nn.init.ones_(self.linear.weight)

    def forward(self, batch):
        outputs = self.linear(batch.x)
        if batch.targets is None:
            return outputs.new_zeros(()), outputs
        y = batch.targets.y
        kept = (y != -100).to(outputs.dtype)
        return ((outputs - y) ** 2 * kept).sum() / kept.sum().clamp(min=1), outputs


def make_batch(value, y=True):
    block = Block(torch.tensor([0, 1, 2]), torch.tensor([0, 1]), 2)
    x = torch.tensor([[value, 1.0], [0.5, value]])
    return Batch((block, block), x, Targets(torch.tensor([[1.0], [-1.0]]), num=2) if y else None, torch.tensor([0, 1]))


def make_step(options=None, lr=0.1, module=None):
    device = IpuEmulatorDevice()
    device.configure(options or {})
    module = module or Regression()
    return device, module, device.prepare(module, torch.optim.SGD(module.parameters(), lr=lr), StepOptions())
