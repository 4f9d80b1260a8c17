"""Where PopTorch's own Python layer was seen to behave in a way that its documentation does not tell.

Rules: every test states what the real layer did; what it refused is refused here, what it took is taken. ``make
test-poptorch`` runs the same tests on the real layer. docs/ipu.md lists them, and has no other.
"""

from __future__ import annotations

import copy
import io
import threading

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from torch.utils.data import TensorDataset

from gnnkit_ipu import emulator

from .layer import IS_REAL, decided_by_the_core, of_the_emulator, poptorch, refused
from .programs import Fn, Net, Stages, X, Y, infer, loss, options, set_lr, train

SAMPLES = TensorDataset(torch.arange(20))
ANYTHING = {"weights_only": False}


def trained(steps=3, **kwargs):
    model = Net()
    wrapped = poptorch.trainingModel(model, options(), torch.optim.SGD(model.parameters(), lr=0.5))
    return model, wrapped, [wrapped(X, Y)[1] for _ in range(steps)]


class TestWeights:
    def test_the_host_model_is_the_trained_one(self):
        model, _wrapped, losses = trained()
        assert float(model(X, Y)[1]) < float(losses[-1])

    def test_reading_a_parameter_fetches_it(self):
        start = Net().layers[0].weight.detach()
        for read in (
            lambda model: model.layers[0].weight.detach(),
            lambda model: model.layers[0].weight.clone(),
            lambda model: dict(model.named_parameters())["layers.0.weight"].data,
            lambda model: model.state_dict()["layers.0.weight"],
            lambda model: copy.deepcopy(model).layers[0].weight,
        ):
            model, wrapped, _ = trained()
            assert not torch.equal(read(model), start)
        model, wrapped, _ = trained()
        assert not torch.equal(model.layers[0].weight, start), "torch.equal alone reads it"
        del wrapped  # A module does not keep its training alive.

    def test_train_and_validate_loop_sees_every_epoch(self):
        model = Net()
        wrapped = poptorch.trainingModel(model, options(), torch.optim.SGD(model.parameters(), lr=0.5))
        inference, seen = poptorch.inferenceModel(model, options()), []
        for _ in range(3):
            wrapped(X, Y)
            seen.append(float(F.cross_entropy(inference(X), Y)))
        assert seen == sorted(seen, reverse=True) and len(set(seen)) == 3

    def test_buffers_follow(self):
        model = Fn(lambda m, out, y: F.cross_entropy(m.norm(out), y), norm=nn.BatchNorm1d(3))
        wrapped = poptorch.trainingModel(model, options())
        wrapped(X, Y)
        assert int(model.norm.num_batches_tracked) == 1 and model.norm.running_mean.abs().sum() > 0

    def test_a_wrapped_model_is_saved_plain(self, tmp_path):
        model, _wrapped, _ = trained()
        assert type(model).__name__ == "PoptorchNet" and type(copy.deepcopy(model)) is Net
        torch.save(model, tmp_path / "model.pt")
        loaded = torch.load(tmp_path / "model.pt", **ANYTHING)
        assert type(loaded) is Net and type(loaded.layers[0].weight) is nn.Parameter
        assert torch.equal(loaded(X), model(X))

    @decided_by_the_core
    def test_changes_of_inputs_reach_the_caller(self):
        x = X.clone()
        poptorch.inferenceModel(Fn(lambda m, out, y: m.lin(y.add_(1))).eval(), options())(X, x)
        assert torch.equal(x, X + 1)


class TestFailedCompilations:
    def broken(self):
        return Fn(lambda m, out, y: F.cross_entropy(m.norm(out) * out.sum().item(), y), norm=nn.BatchNorm1d(3))

    def test_the_module_stays_wrapped(self):
        model = self.broken()
        wrapped = poptorch.trainingModel(model, options())
        with refused("restriction 8"):
            wrapped(X, Y)
        wrapped.destroy()  # Nothing is compiled, so that it does nothing.
        with refused("wrapped by trainingModel already"):
            poptorch.trainingModel(model, options())

    def test_wrapping_again_after_an_early_destroy(self):
        model = Net()
        wrapped = poptorch.trainingModel(model, options())
        wrapped.destroy()
        with refused("wrapped by trainingModel already"):
            poptorch.trainingModel(model, options())
        wrapped(X, Y)
        wrapped.destroy()
        poptorch.trainingModel(model, options())(X, Y)

    def test_its_buffers_cannot_be_wrapped_again(self):
        model = self.broken()
        with refused("restriction 8"):
            poptorch.trainingModel(model, options())(X, Y)
        with refused("is a PoptorchBuffer, expected torch.Tensor"):
            poptorch.trainingModel(nn.Sequential(model), options())


class TestFactories:
    def test_forced_in_the_whole_process_while_compiling(self):
        caught, own = [], torch.empty

        def beside():
            try:
                torch.empty(3)
            except (poptorch.Error, RuntimeError) as error:
                caught.append(str(error))

        def after(m, out, y):
            if poptorch.isRunningOnIpu() and torch.empty is not own:
                thread = threading.Thread(target=beside, name="loader")
                thread.start()
                thread.join()
            return out

        infer(after)
        assert len(caught) == 1 and (IS_REAL or "torch.empty() was called in thread 'loader'" in caught[0])
        assert torch.empty is own and torch.empty(3).shape == (3,)

    def test_restored_after_a_refusal(self):
        own = torch.zeros
        with refused("restriction 8"):
            infer(lambda m, out, y: out * out.sum().item())
        assert torch.zeros is own


class TestTakenByTheRealLayer:
    def test_losses_are_formatted(self):
        _, _, (value, *_) = trained()
        assert f"{value:.4f}" == f"{float(value):.4f}"

    def test_losses_are_copied(self):
        _, _, (value, *_) = trained()
        assert float(copy.deepcopy(value)) == float(value)

    def test_losses_are_saved(self):
        _, _, (value, *_) = trained()
        file = io.BytesIO()
        torch.save(value.detach(), file)
        file.seek(0)
        assert float(torch.load(file, **ANYTHING)) == float(value)

    def test_a_scheduler_made_after_wrapping(self):
        model = Net()
        optimizer = poptorch.optim.SGD(model.parameters(), lr=0.1)
        wrapped = poptorch.trainingModel(model, options(), optimizer)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
        wrapped(X, Y)
        scheduler.step()
        wrapped.setOptimizer(optimizer)
        wrapped(X, Y)

    def test_eval_between_training_calls(self):
        model = Fn(lambda m, out, y: F.cross_entropy(F.dropout(out, 0.5, m.training), y))
        wrapped = poptorch.trainingModel(model, options().randomSeed(1))
        first = [float(wrapped(X, Y)) for _ in range(2)]
        model.eval()
        assert float(wrapped(X, Y)) > 0 and len(set(first)) == 2 and not model.training

    def test_default_tensors(self):
        class Model(nn.Module):
            def forward(self, x, shift=torch.ones(3)):  # noqa: B008
                return x + shift

        assert torch.equal(poptorch.inferenceModel(Model(), options())(X), X + 1)

    def test_dictionaries_in_another_order(self):
        class Model(nn.Module):
            def forward(self, data):
                first, second = data.values()
                return first - second

        wrapped = poptorch.inferenceModel(Model(), options())
        assert torch.equal(wrapped({"a": X, "b": 2 * X}), wrapped({"b": 2 * X, "a": X}))

    def test_factories_without_a_device(self):
        wrapped = infer(lambda m, out, y: out + torch.zeros(3) + torch.tensor([1.0, 2.0, 3.0]))
        assert torch.allclose(wrapped(X), wrapped.model.lin(X) + torch.tensor([1.0, 2.0, 3.0]), atol=1e-6)

    def test_options_are_assigned(self):
        opts = options()
        opts.replication_factor = 2
        assert opts.clone().replication_factor == 2
        opts._freeze()
        with pytest.raises(AttributeError):
            opts.replication_factor = 4

    def test_host_tensors_are_returned(self):
        found = infer(lambda m, out, y: (out, torch.Tensor([1.0, 2.0])))(X)
        assert found[1].tolist() == [1.0, 2.0]

    def test_states_of_optimisers_have_torchs_entries(self):
        model = Net()
        optimizer = poptorch.optim.Adam(model.parameters(), lr=0.1)
        poptorch.trainingModel(model, options(), optimizer)(X, Y)
        state = optimizer.state_dict()
        assert (
            set(state) == {"ipu_state", "ipu_param", "state", "param_groups"} and state["param_groups"][0]["lr"] == 0.1
        )

    def test_states_of_optimisers_are_loaded_with_their_rates(self):
        model = Net()
        optimizer = poptorch.optim.Adam(model.parameters(), lr=0.1)
        wrapped = poptorch.trainingModel(model, options(), optimizer)
        wrapped(X, Y)
        wrapped.destroy()
        fresh = poptorch.optim.Adam(model.parameters(), lr=0.5)
        fresh.load_state_dict(optimizer.state_dict())
        assert fresh.param_groups[0]["lr"] == 0.1 and fresh.has_state()

    def test_states_of_optimisers_are_loaded_after_compilation(self):
        losses = []
        for restored in (False, True):
            model = Net()
            optimizer = poptorch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
            wrapped = poptorch.trainingModel(model, options(), optimizer)
            wrapped(X, Y)
            weights, state = copy.deepcopy(wrapped.state_dict()), copy.deepcopy(optimizer.state_dict())
            if restored:
                wrapped(X, Y)
                wrapped.load_state_dict(weights)
                optimizer.load_state_dict(state)
            losses.append([float(wrapped(X, Y)[1]) for _ in range(3)])
        assert losses[0] == pytest.approx(losses[1], abs=1e-6)

    def test_options_from_a_file(self, tmp_path):
        file = tmp_path / "options.cfg"
        file.write_text("# settings\ndeviceIterations(3)\n\noutputMode(poptorch.OutputMode.All)\n")
        opts = options().loadFromFile(str(file))
        assert (opts.device_iterations, opts.output_mode) == (3, poptorch.OutputMode.All)
        file.write_text("deviceIterations 3")
        with refused("Line 1", emulator.options.ConfigFileError):
            options().loadFromFile(str(file))

    @pytest.mark.parametrize("stages", [(), (poptorch.AutoStage.SameAsIpu,), (poptorch.AutoStage.AutoIncrement,)])
    def test_a_pipeline_by_its_name(self, stages):
        opts = options().deviceIterations(2).setExecutionStrategy(poptorch.PipelinedExecution(*stages))
        wrapped = poptorch.inferenceModel(Stages().eval(), opts)
        assert torch.allclose(wrapped(X), wrapped.model.second(wrapped.model.first(X)), atol=1e-6)

    def test_a_last_batch_of_a_loader_may_be_partial(self, caplog):
        loader = poptorch.DataLoader(options().deviceIterations(4), SAMPLES, batch_size=2, drop_last=False)
        assert [len(batch[0]) for batch in loader] == [8, 8, 4]
        assert IS_REAL or "20 samples do not fill batches of 8: the last one has 4" in caplog.text

    def test_a_partial_group_of_a_batch_sampler_is_dropped(self):
        groups = [[i, i + 1] for i in range(0, 20, 2)]
        loader = poptorch.DataLoader(options().deviceIterations(4), SAMPLES, batch_sampler=groups)
        assert [batch[0].tolist() for batch in loader] == [list(range(8)), list(range(8, 16))]

    def test_lamb_decays_and_caps_by_default(self):
        group = poptorch.optim.LAMB(Net().parameters()).param_groups[0]
        assert (group["weight_decay"], group["max_weight_norm"]) == (0.01, 65500.0)


class TestRefusedByTheRealLayer:
    def test_offline_models_are_not_called(self):
        wrapped = infer_offline()
        wrapped.compile(X)
        assert wrapped.isCompiled() and not wrapped.isAttachedToDevice()
        with refused("offline", AssertionError):
            wrapped(X)

    def test_named_buffers(self):
        model = Fn(lambda m, out, y: out + m.shift, shift=torch.ones(3)).eval()
        wrapped = poptorch.inferenceModel(model, options())
        wrapped(X)
        with refused("updatableNamedBuffers"):
            wrapped.copyNamedBuffersToDevice()
        wrapped = poptorch.inferenceModel(model, options().updatableNamedBuffers(["other"]))
        wrapped(X)
        with refused("other", KeyError):
            wrapped.copyNamedBuffersToDevice()
        wrapped = poptorch.inferenceModel(model, options().updatableNamedBuffers(["shift"]))
        before = wrapped(X)
        model.shift.fill_(2.0)
        wrapped.copyNamedBuffersToDevice()
        assert torch.allclose(wrapped(X), before + 1)

    @pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "LAMB"])
    def test_accumulators_are_float(self, name):
        kind = getattr(poptorch.optim, name)
        with refused(r"bfloat16; expected torch\.float32", AssertionError):
            kind(Net().parameters(), lr=0.1, accum_type=torch.bfloat16)
        kind(Net().parameters(), lr=0.1, accum_type=torch.float16)

    def test_betas_are_a_tuple(self):
        with refused("betas are a list", AssertionError):
            train(loss, optimizer=lambda p: poptorch.optim.Adam(p, betas=[0.9, 0.99]))

    def test_compilation_time_needs_the_bar(self):
        with refused("showCompilationProgressBar"):
            infer(lambda m, out, y: out).compilationTime()

    @pytest.mark.parametrize("level", [5, "CRITICAL", "debug"])
    def test_levels_of_logging(self, level):
        with refused("setLogLevel takes", ValueError):
            poptorch.setLogLevel(level)
        for known in (0, 6, True, "OFF", "TRACE"):
            poptorch.setLogLevel(known)

    @decided_by_the_core
    def test_a_pipeline_has_an_iteration_for_each_stage(self):
        with refused("deviceIterations is 1 with 2 stages"):
            poptorch.inferenceModel(Stages().eval(), options())(X)

    @decided_by_the_core
    def test_operators_outside_every_block(self):
        with refused("every operator is in one"):
            poptorch.inferenceModel(Stages(blocks=1).eval(), options().deviceIterations(2))(X)

    @pytest.mark.parametrize(
        "make",
        [
            lambda: torch.LongTensor([0, 1, 2]),
            lambda: torch.Tensor([1.0, 2.0, 3.0]),
            lambda: torch.from_numpy(np.ones(3, np.float32)),
        ],
        ids=["LongTensor", "Tensor", "from_numpy"],
    )
    @decided_by_the_core
    def test_tensors_of_the_host_made_in_forward(self, make):
        with refused("restriction 16"):
            infer(lambda m, out, y: out + make())

    def test_a_batch_sampler_excludes_a_batch_size(self):
        with refused("excludes batch_size"):
            poptorch.DataLoader(options(), SAMPLES, batch_size=2, batch_sampler=[[0, 1], [2, 3]])

    def test_no_batch_size_excludes_drop_last(self):
        with refused("drop_last", ValueError):
            poptorch.DataLoader(options(), SAMPLES, batch_size=None)
        assert len(list(poptorch.DataLoader(options(), SAMPLES, batch_size=None, drop_last=False))) == 20

    def test_shares_of_memory_are_of_ipus(self):
        with refused("CPU0"):
            options().setAvailableMemoryProportion({"CPU0": 0.5})
        options().setAvailableMemoryProportion({"IPU0": 0.5})

    @decided_by_the_core
    def test_rates_change_by_set_optimizer(self):
        set_lr(True)()
        with refused("restriction 23"):
            set_lr(False)()


@of_the_emulator
class TestLeftOut:
    """What is not emulated says so when it is asked for."""

    @pytest.mark.parametrize(
        "name", ["ShardedExecution", "for_loop", "dynamic_slice", "custom_op", "AsynchronousDataAccessor"]
    )
    def test_names(self, name):
        with pytest.raises(emulator.NotEmulatedError, match=f"{name} exists in PopTorch and is not emulated"):
            getattr(poptorch, name)

    @pytest.mark.parametrize(
        "name", ["compileAndExport", "save", "loadExecutable", "cycleCount", "getLatency", "getAnchoredTensor"]
    )
    def test_methods_of_a_wrapped_model(self, name):
        with pytest.raises(emulator.NotEmulatedError, match=f"{name} exists in PopTorch and is not emulated"):
            getattr(poptorch.inferenceModel(nn.Linear(1, 1), options()), name)

    def test_places_in_memory(self):
        with pytest.raises(emulator.NotEmulatedError, match="TensorLocations"):
            _ = options().TensorLocations

    def test_stages_by_names(self):
        with pytest.raises(emulator.NotEmulatedError, match="stages or names of blocks"):
            poptorch.PipelinedExecution("first", "last")


def infer_offline():
    opts = options().connectionType(poptorch.ConnectionType.Never)
    return poptorch.inferenceModel(Fn(lambda m, out, y: out).eval(), opts)
