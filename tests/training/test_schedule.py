import pytest

from alexnet_tf.recipes import get_recipe
from alexnet_tf.settings import Schedule
from alexnet_tf.training.schedule import RateSchedule


def plateau(patience_epochs=2):
    recipe = get_recipe("paper").replace(
        learning_rate=0.01, schedule=Schedule("plateau", patience_epochs=patience_epochs)
    )
    return RateSchedule(recipe)


def test_plateau_divides_by_ten_at_most_three_times_with_the_exact_sequence():
    schedule = plateau()
    rates = []
    for epoch, errors in enumerate([50, 40, 40, 41, 39, 39, 39, 39, 39, 39, 39, 39, 39]):
        rates.append(schedule.rates(epoch).learning_rate)
        schedule.observe(errors)
    expected = [1e-2] * 4 + [1e-3] * 3 + [1e-4] * 2 + [1e-5] * 4
    assert rates == pytest.approx(expected)


def test_plateau_survives_a_resume():
    errors = [50, 40, 40, 41, 39, 39, 39, 39, 39]
    whole, first = plateau(), plateau()
    falls = [whole.observe(e) for e in errors]
    part = [first.observe(e) for e in errors[:5]]
    second = plateau()
    second.restore(first.state())
    part += [second.observe(e) for e in errors[5:]]
    assert part == falls
    assert second.rates(9) == whole.rates(9)


def test_2012_schedule_at_its_own_length():
    schedule = RateSchedule(get_recipe("2012"))
    rates = [schedule.rates(epoch) for epoch in range(91)]
    assert [e for e in range(1, 91) if rates[e].learning_rate != rates[e - 1].learning_rate] == [
        25,
        51,
        79,
    ]
    assert rates[0].learning_rate == pytest.approx(0.01)
    assert rates[90].learning_rate == pytest.approx(0.00001)
    assert {r.bias_learning_rate for r in rates} == {0.02}
    assert [e for e in range(91) if rates[e].layers] == list(range(67, 72))
    assert rates[67].layers == {"conv1": pytest.approx(1e-5)}
    assert [e for e in range(91) if rates[e].frozen] == list(range(72, 91))
    assert [e for e in range(91) if not rates[e].lighting] == list(range(67, 91))


def test_2012_schedule_is_scaled_to_the_epochs_asked_for():
    schedule = RateSchedule(get_recipe("2012").replace(epochs=9))
    rates = [schedule.rates(epoch) for epoch in range(9)]
    assert [r.learning_rate for r in rates] == pytest.approx(
        [1e-2] * 2 + [1e-3] * 3 + [1e-4] * 3 + [1e-5]
    )
    assert [r.frozen for r in rates] == [()] * 7 + [("conv1",)] * 2


def test_steps_and_constant():
    steps = get_recipe("paper").replace(
        epochs=10, schedule=Schedule("steps", at_epochs=(0.5, 0.8)), learning_rate=1.0
    )
    rates = [RateSchedule(steps).rates(epoch).learning_rate for epoch in range(10)]
    assert rates == pytest.approx([1.0] * 5 + [0.1] * 3 + [0.01] * 2)
    constant = RateSchedule(get_recipe("cifar10"))
    assert not constant.observe(5)
    assert not constant.observe(5)
    assert constant.rates(29).learning_rate == 0.001
    assert constant.rates(29).bias_learning_rate == 0.001


def test_cosine_is_half_a_wave_and_ends_above_zero():
    recipe = get_recipe("paper").replace(epochs=4, schedule=Schedule("cosine"), learning_rate=1.0)
    rates = [RateSchedule(recipe).rates(epoch).learning_rate for epoch in range(6)]
    assert rates[:4] == pytest.approx([1.0, 0.5 + 0.5**1.5, 0.5, 0.5 - 0.5**1.5])
    assert rates[4:] == [rates[3]] * 2  # a run that goes on for longer
