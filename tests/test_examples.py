"""The worked examples: their numbers against theory, their answers to wrong input, their configuration."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from scipy.integrate import solve_ivp

from mitosis.examples import digits, lorenz

CONF = Path(__file__).parents[1] / "conf"
MODELS = ("svm", "forest", "logistic")
TINY = {"dt": 0.01, "duration": 2.0, "transient": 1.0, "trajectories": 4}

# A canvas without a screen says at plt.show() that it shows nothing.
pytestmark = pytest.mark.filterwarnings("ignore:FigureCanvasAgg is non-interactive:UserWarning")


def values(path: str) -> dict[str, Any]:
    return yaml.safe_load((CONF / path).read_text(encoding="utf-8"))


def titles() -> list[str]:
    return [plt.figure(number).axes[0].get_title() for number in plt.get_fignums()]


@pytest.fixture(autouse=True)
def no_screen() -> Iterator[None]:
    mpl.use("agg")
    plt.close("all")
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def growth() -> np.ndarray:
    """100 units of time of 64 trajectories, in intervals of 0.1: shape (1000, 64)."""
    return lorenz.stretching(3, dt=0.01, duration=100.0, transient=20.0, trajectories=64)[0]


def test_lorenz_integrator_is_of_fourth_order() -> None:
    """Halving the step divides the error against an integrator of high order by about sixteen."""
    state = lorenz.start(5, 1)
    reference = solve_ivp(
        lambda _, flat: lorenz.velocity(flat[:, None])[:, 0],
        (0.0, 0.5),
        state[:, 0],
        method="DOP853",
        rtol=1e-13,
        atol=1e-13,
    ).y[:, -1]
    errors = []
    for steps in (50, 100, 200):
        end = state
        for _ in range(steps):
            end = lorenz.rk4_step(end, 0.5 / steps)
        errors.append(np.abs(end[:, 0] - reference).max())
    orders = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    assert np.all(np.abs(orders - 4.0) < 0.3), orders


def test_lorenz_tangent_vectors_are_the_derivative_of_the_step() -> None:
    """Central differences of one step, along random directions, agree with the tangent vectors."""
    state = lorenz.start(11, 20)
    shift = np.zeros_like(state)
    shift[:3] = 1e-5 * state[3:]
    ahead = lorenz.rk4_step(state + shift, 0.01)[:3]
    behind = lorenz.rk4_step(state - shift, 0.01)[:3]
    np.testing.assert_allclose(
        (ahead - behind) / 2e-5, lorenz.rk4_step(state, 0.01)[3:], rtol=1e-7, atol=1e-8
    )


@pytest.mark.parametrize("rho", [0.5, 10.0])
def test_lorenz_exponent_at_a_stable_fixed_point_is_its_eigenvalue(rho: float) -> None:
    """Where all falls into a fixed point, the exponent is the largest real part of an eigenvalue there."""
    height = max(rho - 1.0, 0.0)
    x = np.sqrt(lorenz.BETA * height)
    jacobian = np.array([
        [-lorenz.SIGMA, lorenz.SIGMA, 0.0],
        [rho - height, -1.0, -x],
        [x, x, -lorenz.BETA],
    ])  # fmt: skip
    expected = np.linalg.eigvals(jacobian).real.max()
    growth, _ = lorenz.stretching(2, dt=0.01, duration=80.0, transient=40.0, trajectories=4, rho=rho)
    assert growth.sum(axis=0) / 80.0 == pytest.approx(np.full(4, expected), abs=0.01)


def test_lorenz_running_estimate_is_the_mean_growth_per_time() -> None:
    """Two trajectories over two intervals give the numbers worked out by hand."""
    times, estimates, errors = lorenz.running_estimate(np.array([[1.0, 3.0], [3.0, 3.0]]), 0.5)
    assert times.tolist() == [0.5, 1.0]
    assert estimates.tolist() == [4.0, 5.0]  # (2 + 6) / 2 and (4 + 6) / 2
    assert errors == pytest.approx([2.0, 1.0])  # half the distance of two values


def test_lorenz_estimate_agrees_with_the_published_value_within_its_error(growth: np.ndarray) -> None:
    """Over 6400 units of time the estimate is within four of its own standard errors, which are small."""
    _, estimates, errors = lorenz.running_estimate(growth, 0.1)
    assert errors[-1] < 0.005
    assert abs(estimates[-1] - lorenz.PUBLISHED) < 4 * errors[-1]


def test_lorenz_whole_trajectories_are_the_right_batches(growth: np.ndarray) -> None:
    """Stretches of five units of time, were they taken as independent, would overstate the error."""
    stretches = growth.reshape(20, 50, 64).sum(axis=1) / 5.0
    naive = stretches.std(ddof=1) / np.sqrt(stretches.size)
    assert naive > 2 * lorenz.running_estimate(growth, 0.1)[2][-1]


@pytest.mark.parametrize("seed", [0, 7, 20])
def test_lorenz_fast_is_right_to_a_tenth(seed: int) -> None:
    """`params=fast` gives `main` below 0.1, and `main` is what the other metrics say it is."""
    result = lorenz.run(seed, **values("params/fast.yaml"))
    assert result["main"] < 0.1
    assert result["main"] == abs(result["exponent"] - 0.9056)
    assert result["sigmas"] == result["main"] / result["standard_error"]
    assert all(type(value) is float for value in result.values())


@pytest.mark.slow
@pytest.mark.parametrize(("variant", "seeds", "bound"), [("fast", 21, 0.1), ("slow", 11, 0.01)])
def test_lorenz_variants_keep_their_promise_for_every_seed(variant: str, seeds: int, bound: float) -> None:
    """No seed of the first ones misses the accuracy that the variant's file states."""
    for seed in range(seeds):
        result = lorenz.run(seed, **values(f"params/{variant}.yaml"))
        plt.close("all")  # as a notebook does after each plt.show()
        assert result["main"] < bound, seed


def test_lorenz_is_the_same_to_the_last_bit_under_the_same_seed() -> None:
    """Same seed: equal in every bit, whatever numpy's global generator did; another seed: another number."""
    np.random.seed(1)
    first = lorenz.run(4, **TINY)
    np.random.seed(2)
    assert lorenz.run(4, **TINY) == first
    assert lorenz.run(5, **TINY)["main"] != first["main"]


def test_lorenz_more_trajectories_keep_the_first_ones() -> None:
    """The first four of nine trajectories are, in every bit, those of an ensemble of four."""
    few, _ = lorenz.stretching(6, **TINY)
    many, _ = lorenz.stretching(6, **(TINY | {"trajectories": 9}))
    assert np.array_equal(many[:, :4], few)


def test_lorenz_shows_two_titled_figures_and_its_progress(capsys: pytest.CaptureFixture[str]) -> None:
    """The attractor and the convergence are shown, and a few lines tell how the estimate settles."""
    lorenz.run(1, **TINY)
    assert titles() == ["Lorenz attractor", "Convergence of the Lyapunov exponent"]
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert lines[-1].startswith("largest Lyapunov exponent ")


@pytest.mark.parametrize("dt", [0.2, 0.5])
def test_lorenz_says_that_the_step_is_too_large(dt: float) -> None:
    """A step with which the integrator runs away is an error that names it, not a `main` of nan."""
    with pytest.raises(FloatingPointError, match=rf"dt={dt} ran away: choose a smaller dt"):
        lorenz.run(0, **(values("params/fast.yaml") | {"dt": dt}))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("dt", 0.0),
        ("dt", float("nan")),
        ("transient", -1.0),
        ("renormalise_every", 0),
        ("trajectories", 1),
        ("duration", 0.01),
    ],
)
def test_lorenz_refuses_settings_without_a_meaning(key: str, value: float) -> None:
    """Each such setting is a ValueError that names the key."""
    with pytest.raises(ValueError, match=key):
        lorenz.run(0, **(TINY | {key: value}))


@pytest.mark.parametrize("name", MODELS)
def test_digits_reads_most_images_it_has_not_seen(name: str) -> None:
    """Each model of `conf/model` reads over 93 of 100 held-out images; `main` is a share of them."""
    result = digits.run(3, model=values(f"model/{name}.yaml"), test_size=0.25)
    assert 0.93 < result["main"] <= 1.0
    assert result["main"] * 450 == pytest.approx(round(result["main"] * 450), abs=1e-9)
    assert result["main"] < result["train_accuracy"] <= 1.0
    assert (result["train_images"], result["test_images"]) == (1347, 450)


@pytest.mark.parametrize(
    ("name", "metric", "low", "high"),
    [
        ("svm", "support_vectors", 10, 1347),
        ("forest", "mean_leaves", 10, 1347),
        ("logistic", "iterations", 2, 1000),
    ],
)
def test_digits_tells_how_complex_the_fit_became(name: str, metric: str, low: int, high: int) -> None:
    """Each model has one metric of its own, between the bounds that its meaning sets."""
    result = digits.run(0, model=values(f"model/{name}.yaml"), test_size=0.25)
    assert set(result) == {"main", "train_accuracy", "train_images", "test_images", metric}
    assert low < result[metric] < high


@pytest.mark.parametrize("name", MODELS)
def test_digits_is_the_same_to_the_last_bit_under_the_same_seed(name: str) -> None:
    """Same seed: equal results, whatever numpy's global generator did; other seeds: not always the same."""
    model = values(f"model/{name}.yaml")
    np.random.seed(1)
    first = digits.run(4, model=model, test_size=0.3)
    np.random.seed(2)
    assert digits.run(4, model=model, test_size=0.3) == first
    others = [digits.run(seed, model=model, test_size=0.3) for seed in (5, 2**40)]
    assert any(other != first for other in others)


def test_digits_leaves_its_parameters_alone_and_shows_one_titled_figure() -> None:
    """The mapping under `model` is the same afterwards, and the confusion matrix names the model."""
    model = {"name": "svm", "C": 1.0}
    digits.run(0, model=model, test_size=0.5)
    assert model == {"name": "svm", "C": 1.0}
    assert titles() == ["Confusion matrix of svm"]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"name": "perceptron"}, r"unknown model 'perceptron': choose one of forest, logistic, svm"),
        ({"name": None}, r"unknown model None: choose one of"),
        ({"C": 1.0}, r"model has no name: give it one of forest, logistic, svm"),
    ],
)
def test_digits_refuses_a_model_it_does_not_know(model: dict[str, Any], message: str) -> None:
    """A name that is missing or unknown is a ValueError that lists the known ones."""
    with pytest.raises(ValueError, match=message):
        digits.run(0, model=model, test_size=0.25)


def test_digits_names_a_setting_that_the_model_does_not_take() -> None:
    """A misspelt hyperparameter is scikit-learn's own TypeError, with the word in it."""
    with pytest.raises(TypeError, match="gama"):
        digits.run(0, model={"name": "svm", "gama": 1.0}, test_size=0.25)


@pytest.mark.parametrize(
    ("overrides", "module", "seed"),
    [
        (["experiment=lorenz", "params=fast", "seed=7"], lorenz, 7),
        (["experiment=lorenz", "params=slow"], lorenz, 0),
        (["experiment=digits"], digits, 0),
        (["experiment=digits", "model=forest", "seed=2"], digits, 2),
        (["experiment=digits", "model=logistic", "params.test_size=0.5"], digits, 0),
    ],
)
def test_configuration_composes_to_what_the_experiment_takes(
    overrides: list[str], module: Any, seed: int
) -> None:
    """The files of `conf` name the module and give exactly the keywords of its `run`."""
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        composed = OmegaConf.to_container(compose("config", overrides), resolve=True)
    assert isinstance(composed, dict)
    assert composed["experiment"] == {"module": module.__name__}
    assert composed["seed"] == seed
    assert {"seed", *composed["params"]} == set(inspect.signature(module.run).parameters)


def test_named_seeds_are_a_sweep_over_ten() -> None:
    """`+seeds=ten` fills in the seeds of the sweeper and leaves the run's own seed as it was."""
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        composed = compose("config", ["experiment=digits", "+seeds=ten"], return_hydra_config=True)
    assert composed.hydra.sweeper.params == {"seed": "range(0,10)"}
    assert composed.seed == 0
