"""Lorenz 63: how near an estimate of the largest Lyapunov exponent comes to the published value.

The exponent is the mean rate at which neighbouring trajectories part. Benettin's method follows a
tangent vector along a trajectory, rescales it to length one at regular intervals and averages the
logarithms of its growth. Many independent trajectories are advanced together, as columns of one array.

- E. N. Lorenz, Deterministic nonperiodic flow, J. Atmos. Sci. 20 (1963) 130-141.
- G. Benettin, L. Galgani, A. Giorgilli, J.-M. Strelcyn, Lyapunov characteristic exponents for smooth
  dynamical systems and for Hamiltonian systems, Meccanica 15 (1980) 9-20 and 21-30.
- D. Viswanath, Lyapunov exponents from random Fibonacci sequences to the Lorenz equations,
  PhD thesis, Cornell University (1998); J. C. Sprott, Chaos and Time-Series Analysis (Oxford, 2003).

By hand: `python -c "from mitosis.examples.lorenz import run;
print(run(7, dt=0.01, duration=50, transient=20, trajectories=16))"`.
"""

from __future__ import annotations

from typing import TypeAlias

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]

SIGMA, RHO, BETA = 10.0, 28.0, 8.0 / 3.0  # Lorenz's own choice
PUBLISHED = 0.9056  # per unit of time, for these three
PATH_TIME = 40.0  # length of the trajectory that the figure shows, units of time


def run(
    seed: int,
    *,
    dt: float,
    duration: float,
    transient: float,
    trajectories: int,
    renormalise_every: int = 10,
) -> dict[str, float]:
    """Estimate the largest Lyapunov exponent from trajectories that start where `seed` says.

    `dt`, `duration` and `transient` are in the units of time of Lorenz's equations: the step of the
    integrator, how long each trajectory is followed, and how long it is left alone before that.
    `renormalise_every` is the number of steps between two rescalings of the tangent vectors.

    Returns `main`, the distance of the estimate from the published value, with the `exponent`, its
    `standard_error`, and `sigmas`, that distance in standard errors. Raises ValueError for settings
    without a meaning and FloatingPointError where `dt` is too large for the integrator.
    """
    growth, state = stretching(
        seed,
        dt=dt,
        duration=duration,
        transient=transient,
        trajectories=trajectories,
        renormalise_every=renormalise_every,
    )
    times, estimates, errors = running_estimate(growth, renormalise_every * dt)
    for index in np.linspace(0, len(times) - 1, 5).astype(int)[1:]:
        print(f"t = {times[index]:7.1f}   exponent = {estimates[index]:.4f} +/- {errors[index]:.4f}")

    show_attractor(state[:, :1], dt)
    show_convergence(times, estimates, errors)

    exponent, error = float(estimates[-1]), float(errors[-1])
    distance = abs(exponent - PUBLISHED)
    print(f"largest Lyapunov exponent {exponent:.5f} +/- {error:.5f}, published {PUBLISHED}")
    return {
        "main": distance,
        "exponent": exponent,
        "standard_error": error,
        "sigmas": distance / error,
    }


def stretching(
    seed: int,
    *,
    dt: float,
    duration: float,
    transient: float,
    trajectories: int,
    renormalise_every: int = 10,
    rho: float = RHO,
) -> tuple[Array, Array]:
    """The logarithmic growth of the tangent vectors, interval by interval, and the state at the end.

    Returns arrays of shapes (intervals, trajectories) and (6, trajectories). Raises as `run` does.
    """
    if not (dt > 0 and transient >= 0 and renormalise_every >= 1):
        raise ValueError("dt must be above 0, transient at least 0 and renormalise_every at least 1")
    if trajectories < 2:
        raise ValueError(f"trajectories={trajectories}: the standard error needs at least 2")
    interval = renormalise_every * dt
    intervals = round(duration / interval)
    if intervals < 1:
        raise ValueError(f"duration={duration} is shorter than one interval between rescalings, {interval:g}")

    state = start(seed, trajectories)
    # The transient brings the points onto the attractor (slowly where they start close to a fixed point)
    # and turns every tangent vector into the direction that grows fastest: no bias from the start is left.
    for _ in range(round(transient / interval)):
        state, _ = advance(state, dt, renormalise_every, rho)
    growth = np.empty((intervals, trajectories))
    for index in range(intervals):
        state, growth[index] = advance(state, dt, renormalise_every, rho)
    return growth, state


def start(seed: int, trajectories: int) -> Array:
    """Random points around the attractor with random tangent vectors: shape (6, trajectories)."""
    low = np.array([-10.0, -10.0, 15.0, -1.0, -1.0, -1.0])
    high = np.array([10.0, 10.0, 35.0, 1.0, 1.0, 1.0])
    rows: Array = np.random.default_rng(seed).uniform(low, high, size=(trajectories, 6))
    return np.ascontiguousarray(rows.T)


def advance(state: Array, dt: float, steps: int, rho: float = RHO) -> tuple[Array, Array]:
    """Some steps of the integrator, then tangent vectors of length one and the logarithm of their growth.

    Raises FloatingPointError where the numbers have run away.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(steps):
            state = rk4_step(state, dt, rho)
        # Written out, not by numpy.linalg: chaos would magnify the last digits, where BLAS libraries differ.
        length = np.sqrt(state[3] ** 2 + state[4] ** 2 + state[5] ** 2)
    if not np.isfinite(state).all() or not np.isfinite(length).all():
        raise FloatingPointError(f"the integration with dt={dt} ran away: choose a smaller dt, such as 0.01")
    state[3:] /= length
    return state, np.log(length)


def rk4_step(state: Array, dt: float, rho: float = RHO) -> Array:
    """One step of the classical Runge-Kutta method of fourth order."""
    k1 = velocity(state, rho)
    k2 = velocity(state + (dt / 2) * k1, rho)
    k3 = velocity(state + (dt / 2) * k2, rho)
    k4 = velocity(state + dt * k3, rho)
    result: Array = state + (dt / 6) * (k1 + 2 * (k2 + k3) + k4)
    return result


def velocity(state: Array, rho: float = RHO) -> Array:
    """Lorenz's equations for rows 0-2 and, for rows 3-5, their linearisation along the trajectory."""
    x, y, z, u, v, w = state
    result = np.empty_like(state)
    result[0] = SIGMA * (y - x)
    result[1] = x * (rho - z) - y
    result[2] = x * y - BETA * z
    result[3] = SIGMA * (v - u)
    result[4] = (rho - z) * u - v - x * w
    result[5] = y * u + x * v - BETA * w
    return result


def running_estimate(growth: Array, interval: float) -> tuple[Array, Array, Array]:
    """Times, the estimate of the exponent up to each of them, and its standard error.

    A batch is a whole trajectory: those are independent. Consecutive stretches of one trajectory are
    not (a strong growth is followed by a weak one), and as batches would overstate the error manyfold.
    """
    times: Array = interval * np.arange(1.0, len(growth) + 1)
    each = np.cumsum(growth, axis=0) / times[:, None]
    errors: Array = each.std(axis=1, ddof=1) / np.sqrt(growth.shape[1])
    return times, each.mean(axis=1), errors


def show_attractor(state: Array, dt: float) -> None:
    """Show where one trajectory goes next, coloured by how fast its neighbours part there."""
    steps = max(2, round(PATH_TIME / dt))
    points, rates = np.empty((steps, 3)), np.empty(steps)
    for index in range(steps):
        state, growth = advance(state, dt, 1)
        points[index], rates[index] = state[:3, 0], growth[0] / dt
    _, axes = plt.subplots(figsize=(6.4, 4.8))
    limit = np.quantile(np.abs(rates), 0.98)
    dots = axes.scatter(
        points[:, 0], points[:, 2], c=rates, s=2, cmap="coolwarm", vmin=-limit, vmax=limit, rasterized=True
    )
    plt.colorbar(dots, ax=axes, label="local stretching rate")
    axes.set(title="Lorenz attractor", xlabel="x", ylabel="z")
    plt.show()


def show_convergence(times: Array, estimates: Array, errors: Array) -> None:
    """Show the estimate as it settles, with two standard errors around it and the published value."""
    _, axes = plt.subplots(figsize=(6.4, 4.8))
    low, high = estimates - 2 * errors, estimates + 2 * errors
    axes.fill_between(times, low, high, alpha=0.3, label="2 standard errors")
    axes.plot(times, estimates, label="estimate")
    axes.axhline(PUBLISHED, color="black", linestyle="--", linewidth=1, label=f"published, {PUBLISHED}")
    axes.set(
        title="Convergence of the Lyapunov exponent",
        xlabel="time followed, per trajectory",
        ylabel="exponent",
        xscale="log",
        ylim=(PUBLISHED - 0.25, PUBLISHED + 0.25),
    )
    axes.legend()
    plt.show()
