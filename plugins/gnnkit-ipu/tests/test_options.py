"""What a user can set for the device."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import gnnkit
from gnnkit.backends import build_model
from gnnkit.devices import load_device
from gnnkit.errors import ConfigError, GnnkitError, UnavailableError, UnknownNameError
from gnnkit_ipu import emulator
from gnnkit_ipu.emulator import RestrictionError
from tests.graphs import communities

from .steps import PLAIN, Regression, make_batch, make_step


@pytest.mark.parametrize(
    "options, error, text",
    [
        ({"device_iteration": 2}, UnknownNameError, "Did you mean 'device_iterations'"),
        ({"device_iterations": "two"}, ConfigError, "'two', expected a whole number of at least 1"),
        ({"gradient_accumulation": 0}, ConfigError, "at least 1"),
        ({"replication_factor": True}, ConfigError, "True, expected a whole number"),
        ({"max_ipus": 0}, ConfigError, "at least 1"),
        ({"max_ipus": 2, "replication_factor": 4}, ConfigError, "max_ipus is 2, but replication_factor takes 4 IPUs"),
        ({"output_mode": "every"}, ConfigError, "all, final, sum"),
        ({"output_mode": ["all"]}, ConfigError, "all, final, sum"),
        ({"executable_cache": 3}, ConfigError, "a folder"),
        ({"random_seed": -1}, ConfigError, "from 0"),
        ({"floating_point_exceptions": 1}, ConfigError, "true or false"),
        ({"ipu_model": "yes"}, ConfigError, "true or false"),
        ({"offline_target": 7}, ConfigError, "1, 2 or 21"),
        ({"offline_target": 2}, ConfigError, "executable_cache"),
        ({"offline_target": 2, "executable_cache": "x", "ipu_model": True}, ConfigError, "exclude each other"),
    ],
)
def test_bad_options(options, error, text):
    with pytest.raises(error, match=text):
        load_device("ipu-emulator", options)


def test_options_reach_the_device_from_the_configuration():
    config = gnnkit.train.load_config(overrides=["device_options.device_iterations=2"])
    assert config.device_options == {"device_iterations": 2}
    with pytest.raises(UnknownNameError, match="device 'cpu'"):
        gnnkit.Trainer(device="cpu", device_options={"device_iterations": 2}).fit(
            build_model("gcn", communities(), **PLAIN), communities()
        )


def test_executables_are_cached(tmp_path, capsys):
    for _ in range(2):
        device, _, step = make_step({"executable_cache": str(tmp_path / "cache"), "random_seed": 3})
        step(make_batch(1.0))
        device.close()
    lines = capsys.readouterr().err.strip().splitlines()
    assert "found in the cache" not in lines[0] and "found in the cache" in lines[1]
    assert list((tmp_path / "cache").iterdir())


def test_a_cache_that_cannot_be_written_is_refused_before_tracing(tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.touch()
    for place in (file, file / "below"):
        with pytest.raises(ConfigError, match=r"^device_options.executable_cache: Cannot write .*: Not a directory\."):
            make_step({"executable_cache": str(place)})
    device, _, step = make_step({"executable_cache": str(tmp_path / "later")})
    (tmp_path / "later").touch()  # After settings were checked, as where a disk is full.
    with emulator.counting() as counts, pytest.raises(GnnkitError, match="Cannot write"):
        step(make_batch(1.0))
    assert counts.compilations == 0
    device.close()
    monkeypatch.setattr("os.access", lambda path, mode: False)  # Root may write everywhere.
    with pytest.raises(ConfigError, match="Permission denied"):
        make_step({"executable_cache": str(tmp_path)})


def test_offline_target_compiles_and_says_that_nothing_runs(tmp_path):
    device, _, step = make_step({"offline_target": 2, "executable_cache": str(tmp_path / "cache")})
    with pytest.raises(UnavailableError, match="compiled for an IPU of generation 2"):
        step(make_batch(1.0))
    assert list((tmp_path / "cache").iterdir())
    device.close()


def test_the_seed_of_the_device_decides_dropout():
    class Dropped(Regression):
        def forward(self, batch):
            x = nn.functional.dropout(batch.x, 0.5, self.training)
            return self.linear(x).square().mean(), x

    def outputs(seed):
        device, _, step = make_step({"random_seed": seed}, module=Dropped())
        found = [step(make_batch(1.0)).outputs for _ in range(4)]
        device.close()
        return torch.stack(found)

    assert torch.equal(outputs(1), outputs(1)) and not torch.equal(outputs(1), outputs(2))


def test_options_do_not_touch_torchs_random_numbers():
    torch.manual_seed(5)
    expected = torch.rand(3)
    device, _, step = make_step({"random_seed": 1})
    torch.manual_seed(5)
    step(make_batch(1.0))
    device.close()
    assert torch.equal(torch.rand(3), expected)


def test_floating_point_exceptions():
    bad = float("inf")
    device, _, step = make_step({"floating_point_exceptions": True})
    with pytest.raises(GnnkitError, match="Floating-point exception"):
        step(make_batch(bad))
    device.close()


def test_replicas_with_batch_normalisation_need_their_own_buffers():
    class Normed(Regression):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(2)

        def forward(self, batch):
            outputs = self.linear(self.norm(batch.x))
            return outputs.square().mean(), outputs

    for broadcast in (True, False):
        options = {"replication_factor": 2, "broadcast_buffers": broadcast}
        device, module, step = make_step(options, module=Normed())
        step(make_batch(1.0))
        if broadcast:
            with pytest.raises(RestrictionError, match="restriction 36"):
                step(make_batch(2.0))
        else:
            step(make_batch(2.0))
            step.pull()
            assert int(module.norm.num_batches_tracked) == 1
        device.close()
