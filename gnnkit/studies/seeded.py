"""A sampler of Optuna whose random numbers depend on the trial alone."""

from __future__ import annotations

import hashlib
import inspect
import warnings
from typing import Any, Dict, Sequence, Type

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from gnnkit.errors import ConfigError


class SeededSampler(BaseSampler):
    """Makes a sampler anew for everything that is asked, with a seed of the trial and the setting.

    Optuna's samplers go on with one stream of random numbers, so what they propose after a restart differs from what
    they would have proposed without one.

    Args:
        cls: The sampler's class.
        options: Its arguments.
        seed: Seed of the sweep.

    Raises:
        ConfigError: The class does not take these arguments.
    """

    def __init__(self, cls: Type[BaseSampler], options: Dict[str, Any], seed: int) -> None:
        self._cls = cls
        self._options = options
        self._seed = seed
        self._takes_seed = "seed" in inspect.signature(cls).parameters
        try:
            self._made(0, "")
        except (TypeError, ValueError, ImportError) as error:
            raise ConfigError(f"sweep.sampler_options do not fit {cls.__name__}: {error}.") from error

    def _made(self, number: int, name: str) -> BaseSampler:
        digest = hashlib.blake2b(f"{self._seed}/{number}/{name}".encode(), digest_size=4).digest()
        own = {"seed": int.from_bytes(digest, "little") >> 1} if self._takes_seed else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Some samplers say that they are experimental.
            return self._cls(**{**own, **self._options})

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> Dict[str, BaseDistribution]:
        """See Optuna."""
        return self._made(trial.number, "").infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: Dict[str, BaseDistribution]
    ) -> Dict[str, Any]:
        """See Optuna."""
        return self._made(trial.number, "").sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """See Optuna."""
        made = self._made(trial.number, param_name)
        return made.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """See Optuna."""
        self._made(trial.number, "").before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """See Optuna."""
        self._made(trial.number, "").after_trial(study, trial, state, values)
