"""Learning rate, EMA decay and course as pure functions."""

from itertools import pairwise

import pytest

from launch.engine.config import Ema, Optim
from launch.engine.course import Course
from launch.engine.schedule import ema_decay, learning_rate


def rates(**changes: float | str) -> list[float]:
    optim = Optim(**({"lr": 1.0, "warmup": 1.0} | changes))
    return [learning_rate(optim, step=s, steps=100, steps_per_epoch=10) for s in range(100)]


def test_warmup_is_a_line_to_the_peak() -> None:
    assert rates()[:11] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.0])


def test_cosine_falls_to_zero_by_halves() -> None:
    course = rates()
    assert course[55] == pytest.approx(0.5)
    assert all(a >= b for a, b in pairwise(course[10:]))
    assert 0 < course[99] < 1e-3


def test_no_warmup_starts_at_the_peak() -> None:
    assert rates(warmup=0.0)[0] == 1.0


def test_a_run_shorter_than_its_warmup_still_has_a_rate() -> None:
    assert learning_rate(Optim(lr=1.0, warmup=5), step=2, steps=3, steps_per_epoch=10) == 1.0


def test_steps_outside_the_run() -> None:
    for step in (-1, 100):
        with pytest.raises(ValueError, match="outside"):
            learning_rate(Optim(), step=step, steps=100, steps_per_epoch=10)


def test_ema_half_life() -> None:
    decay = ema_decay(Ema(half_life=0.5), step=10**6, steps_per_epoch=100)
    assert decay**50 == pytest.approx(0.5)


def test_ema_warms_up() -> None:
    decays = [ema_decay(Ema(half_life=1), step=s, steps_per_epoch=1000) for s in (0, 10, 100, 10**5)]
    assert decays == sorted(decays) and decays[0] == 0.1


def test_course_straddles_epochs() -> None:
    course = Course(batch=30, images=100, epochs=2, log_every=4)
    assert course.steps == 7 and course.steps_per_epoch == pytest.approx(10 / 3)
    assert [s for s in range(1, 8) if course.ends_epoch(s)] == [4, 7]
    assert [s for s in range(1, 8) if course.is_boundary(s)] == [4, 7]
    assert [course.epochs_over(s) for s in range(8)] == [0, 0, 0, 0, 1, 1, 1, 2]


def test_fraction_of_an_epoch() -> None:
    course = Course(batch=10, images=100, epochs=0.25, log_every=100)
    assert course.steps == 3 and course.ends_epoch(3)


def test_the_step_schedule_is_a_tenth_after_each_third() -> None:
    course = rates(schedule="step", warmup=0.0)
    assert course[:34] == [1.0] * 34
    assert course[34:67] == pytest.approx([0.1] * 33) and course[67:] == pytest.approx([0.01] * 33)
    epochs_30_and_60 = Optim(schedule="step", lr=0.1, warmup=0)
    of_90 = [learning_rate(epochs_30_and_60, step=s, steps=90, steps_per_epoch=1) for s in range(90)]
    assert [s for s in range(1, 90) if of_90[s] != of_90[s - 1]] == [30, 60]


def test_the_step_schedule_warms_up() -> None:
    assert rates(schedule="step")[:11] == pytest.approx(rates()[:11])


def test_without_averaging_nothing_of_the_old_stays() -> None:
    assert ema_decay(Ema(half_life=0), step=10**5, steps_per_epoch=100) == 0.0
