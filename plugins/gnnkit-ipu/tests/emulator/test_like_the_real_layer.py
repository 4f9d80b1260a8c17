"""Where PopTorch's own Python layer was seen to behave in a way that its documentation does not tell.

Rules: every test states what the real layer did; what it refused is refused here, what it took is taken.
"""

from __future__ import annotations

import copy
import io
import threading

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from gnnkit_ipu import emulator as poptorch

from .programs import Fn, Net, Stages, X, Y, infer, loss, options, set_lr, train


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
        loaded = torch.load(tmp_path / "model.pt", weights_only=False)
        assert type(loaded) is Net and type(loaded.layers[0].weight) is nn.Parameter
        assert torch.equal(loaded(X), model(X))

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
        with pytest.raises(poptorch.RestrictionError):
            wrapped(X, Y)
        wrapped.destroy()  # Nothing is compiled, so that it does nothing.
        with pytest.raises(poptorch.RestrictionError, match="wrapped by trainingModel already"):
            poptorch.trainingModel(model, options())

    def test_its_buffers_cannot_be_wrapped_again(self):
        model = self.broken()
        with pytest.raises(poptorch.RestrictionError):
            poptorch.trainingModel(model, options())(X, Y)
        with pytest.raises(poptorch.Error, match="is a PoptorchBuffer, expected torch.Tensor"):
            poptorch.trainingModel(nn.Sequential(model), options())


class TestFactories:
    def test_forced_in_the_whole_process_while_compiling(self):
        caught, own = [], torch.empty

        def beside():
            try:
                torch.empty(3)
            except poptorch.Error as error:
                caught.append(str(error))

        def after(m, out, y):
            if poptorch.isRunningOnIpu() and torch.empty is not own:
                thread = threading.Thread(target=beside, name="loader")
                thread.start()
                thread.join()
            return out

        infer(after)
        assert len(caught) == 1 and "torch.empty() was called in thread 'loader'" in caught[0]
        assert torch.empty is own and torch.empty(3).shape == (3,)

    def test_restored_after_a_refusal(self):
        own = torch.zeros
        with pytest.raises(poptorch.RestrictionError):
            infer(lambda m, out, y: out * out.sum().item())
        assert torch.zeros is own


class TestTakenByTheRealLayer:
    def test_losses_are_plain_numbers(self):
        _, _, (value, *_) = trained()
        assert f"{value:.4f}" == f"{float(value):.4f}"
        assert float(copy.deepcopy(value)) == float(value)
        file = io.BytesIO()
        torch.save(value, file)
        file.seek(0)
        assert float(torch.load(file, weights_only=False)) == float(value)

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

    def test_options_from_a_file(self, tmp_path):
        file = tmp_path / "options.cfg"
        file.write_text("# settings\ndeviceIterations(3)\n\noutputMode(poptorch.OutputMode.All)\n")
        opts = options().loadFromFile(str(file))
        assert (opts.device_iterations, opts.output_mode) == (3, poptorch.OutputMode.All)
        file.write_text("deviceIterations 3")
        with pytest.raises(poptorch.options.ConfigFileError, match="Line 1"):
            options().loadFromFile(str(file))

    def test_places_in_memory_are_left_out_and_say_so(self):
        with pytest.raises(poptorch.NotEmulatedError, match="TensorLocations"):
            _ = options().TensorLocations

    def test_lamb_decays_and_caps_by_default(self):
        group = poptorch.optim.LAMB(Net().parameters()).param_groups[0]
        assert (group["weight_decay"], group["max_weight_norm"]) == (0.01, 65500.0)


class TestRefusedByTheRealLayer:
    def test_offline_models_are_not_called(self):
        wrapped = infer_offline()
        wrapped.compile(X)
        assert wrapped.isCompiled() and not wrapped.isAttachedToDevice()
        with pytest.raises(AssertionError, match="offline"):
            wrapped(X)

    def test_named_buffers(self):
        model = Fn(lambda m, out, y: out + m.shift, shift=torch.ones(3)).eval()
        wrapped = poptorch.inferenceModel(model, options())
        wrapped(X)
        with pytest.raises(poptorch.Error, match="updatableNamedBuffers"):
            wrapped.copyNamedBuffersToDevice()
        wrapped = poptorch.inferenceModel(model, options().updatableNamedBuffers(["other"]))
        wrapped(X)
        with pytest.raises(KeyError, match="other"):
            wrapped.copyNamedBuffersToDevice()
        wrapped = poptorch.inferenceModel(model, options().updatableNamedBuffers(["shift"]))
        before = wrapped(X)
        model.shift.fill_(2.0)
        wrapped.copyNamedBuffersToDevice()
        assert torch.allclose(wrapped(X), before + 1)

    @pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "LAMB"])
    def test_accumulators_are_float(self, name):
        kind = getattr(poptorch.optim, name)
        with pytest.raises(AssertionError, match=r"bfloat16; expected torch\.float32"):
            kind(Net().parameters(), lr=0.1, accum_type=torch.bfloat16)
        kind(Net().parameters(), lr=0.1, accum_type=torch.float16)

    def test_betas_are_a_tuple(self):
        with pytest.raises(AssertionError, match="betas are a list"):
            train(loss, optimizer=lambda p: poptorch.optim.Adam(p, betas=[0.9, 0.99]))

    def test_compilation_time_needs_the_bar(self):
        with pytest.raises(poptorch.Error, match="showCompilationProgressBar"):
            infer(lambda m, out, y: out).compilationTime()

    @pytest.mark.parametrize("level", [5, "CRITICAL", True, "debug"])
    def test_levels_of_logging(self, level):
        with pytest.raises(ValueError, match="setLogLevel takes"):
            poptorch.setLogLevel(level)
        for known in (0, 6, "OFF", "TRACE"):
            poptorch.setLogLevel(known)

    def test_stages_of_a_pipeline(self):
        with pytest.raises(poptorch.RestrictionError, match="deviceIterations is 1 with 2 stages"):
            poptorch.inferenceModel(Stages().eval(), options())(X)
        with pytest.raises(poptorch.RestrictionError, match="every operator is in one"):
            poptorch.inferenceModel(Stages(blocks=1).eval(), options().deviceIterations(2))(X)

    def test_rates_change_by_set_optimizer(self):
        set_lr(True)()
        with pytest.raises(poptorch.RestrictionError):
            set_lr(False)()


def infer_offline():
    opts = options().connectionType(poptorch.ConnectionType.Never)
    return poptorch.inferenceModel(Fn(lambda m, out, y: out).eval(), opts)
