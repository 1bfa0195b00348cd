"""Every picture with few and with many classes: drawn, labelled, in any script, without noise."""

import io
import warnings

import numpy as np
import pytest
from PIL import Image

from alexnet_tf.pictures.activations import draw_activations, strongest
from alexnet_tf.pictures.calibration import draw_calibration
from alexnet_tf.pictures.class_errors import MOST_BARS, draw_class_errors
from alexnet_tf.pictures.confusion import MOST_CLASSES, draw_confusion_matrix, draw_confusions
from alexnet_tf.pictures.curves import draw_curves
from alexnet_tf.pictures.feature_map import draw_feature_map
from alexnet_tf.pictures.figure import png_bytes, save_picture
from alexnet_tf.pictures.names import drawable, shortened, text_style
from alexnet_tf.pictures.theme import DARK, LIGHT
from alexnet_tf.pictures.tiles import NOT_AMONG, Tile, draw_neighbours, draw_tiles


def pixels(figure):
    """Draws a figure and returns its pixels, uint8 [h, w, 3]; a warning is a failure."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        content = png_bytes(figure, 50)
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def texts(axes):
    return [text.get_text() for text in axes.texts]


def ticks(axes, which):
    return [label.get_text() for label in getattr(axes, f"get_{which}ticklabels")()]


def test_two_classes_have_shares_of_their_rows_in_the_matrix():
    figure = draw_confusion_matrix(np.array([[3, 1], [0, 0]]), ["cat", "dog"])
    (axes,) = figure.axes
    assert texts(axes) == ["75", "25"]  # a class without images has nothing
    assert ticks(axes, "x") == ticks(axes, "y") == ["cat", "dog"]
    wrong, right = (image.get_array() for image in axes.images)
    assert right[0, 0] == 0.75 and wrong[0, 1] == 0.25
    assert np.ma.getmaskarray(right)[0, 1] or np.isnan(right[0, 1])
    assert pixels(figure).std() > 0


@pytest.mark.parametrize("classes", [10, 100, MOST_CLASSES])
def test_larger_matrices_stay_readable(classes):
    matrix = np.eye(classes, dtype=int) * 9 + 1
    figure = draw_confusion_matrix(matrix, [f"class {i}" for i in range(classes)], DARK)
    (axes,) = figure.axes
    assert bool(axes.texts) == (classes <= 16)
    assert ("class 1" in ticks(axes, "x")) == (classes <= 80)
    assert pixels(figure).shape[1] < 50 * 11


def test_no_matrix_of_a_thousand_classes_or_of_other_shapes():
    with pytest.raises(ValueError, match="Received"):
        draw_confusion_matrix(np.eye(1000, dtype=int), ["a"] * 1000)
    with pytest.raises(ValueError, match="Received"):
        draw_confusion_matrix(np.eye(3, dtype=int), ["a"] * 2)


def test_the_worst_confusions_of_many_classes_are_named_with_their_counts():
    figure = draw_confusions(["tench", "goldfish"], ["goldfish", "shark"], [30, 4], [50, 1000])
    (axes,) = figure.axes
    assert ticks(axes, "y") == ["tench → goldfish", "goldfish → shark"]
    assert [text.strip() for text in texts(axes)] == ["30 of 50", "4 of 1,000"]
    assert [bar.get_width() for bar in axes.patches] == [60, 0.4]
    assert "nothing" in texts(draw_confusions([], [], [], []).axes[0])[0]


def test_a_thousand_classes_show_the_worst_and_the_best_errors():
    shares = np.linspace(1, 0, 1000)
    names = [f"n{i:04}" for i in range(1000)]
    figure = draw_class_errors(names, shares, np.stack([shares, shares], 1), 0.5)
    (axes,) = figure.axes
    half = MOST_BARS // 2
    assert ticks(axes, "y") == names[:half] + names[-half:]
    assert "960" in texts(axes)[0]
    assert len(draw_class_errors(["a"], np.zeros(1), np.zeros((1, 2)), 0).axes[0].patches) == 1


def test_calibration_has_bars_where_there_are_images():
    edges, counts = np.linspace(0, 1, 5), np.array([0, 0, 2, 8])
    means = np.array([np.nan, np.nan, 0.6, 0.9])
    figure = draw_calibration(edges, counts, means, means - 0.1, 0.1)
    above, below = figure.axes
    assert [bar.get_height() for bar in above.patches] == pytest.approx([50, 80])
    assert [bar.get_height() for bar in below.patches] == [0, 0, 2, 8]
    assert "10.00%" in above.get_title()
    pixels(figure)
    nothing = np.full(4, np.nan)
    empty = draw_calibration(edges, np.zeros(4, int), nothing, nothing, float("nan"))
    assert "no images" in empty.axes[0].get_title()
    pixels(empty)


def tile(right, channels=3):
    image = np.zeros((8, 8, channels), np.uint8)
    return Tile(image, "cat", ["dog", "cat"], [0.7, 0.3], right)


def test_bars_tell_a_hit_a_mistake_and_an_image_without_a_label_apart():
    def colours(right):
        return [bar.get_facecolor()[:3] for bar in draw_tiles([tile(right)]).axes[1].patches]

    hit, second, none, unknown = (colours(right) for right in (0, 1, NOT_AMONG, None))
    assert hit[0] == unknown[0] == second[1]
    assert second[0] == none[0] != hit[0]
    assert none[1] not in (hit[0], none[0])
    marks = texts(draw_tiles([tile(1)]).axes[1])
    assert marks == ["dog  70.0%", "cat ✓  30.0%"]
    assert len(draw_tiles([tile(0, 1)] * 5).axes) == 10  # grey, in two rows
    pixels(draw_tiles([Tile(np.zeros((2, 2, 3), np.uint8), "", ["a"], [float("nan")])]))


def test_neighbours_of_another_class_are_marked():
    image = np.zeros((8, 8, 3), np.uint8)
    figure = draw_neighbours([(image, "cat")], [[(image, "cat"), (image, "dog")]])
    assert [texts(axes) for axes in figure.axes] == [["cat"], ["cat"], ["× dog"]]
    pixels(figure)


def test_activations_show_the_strongest_maps_and_units_as_a_square():
    maps = np.zeros((3, 3, 100))
    maps[..., 7], maps[..., 90] = 5, -9
    np.testing.assert_array_equal(strongest(maps, 2), [7, 90])
    layers = [("conv1", maps), ("fc6", np.array([1.0, np.nan, 3.0])), ("dead", np.zeros((1, 1, 2)))]
    figure = draw_activations(np.zeros((9, 9, 1), np.uint8), layers)
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles[:2] == ["image", "conv1: 64 of 100 maps, 3 × 3"]
    assert titles[2] == "fc6: 3 units"
    units = np.ma.filled(figure.axes[2].images[0].get_array(), np.nan)
    np.testing.assert_array_equal(units, [[1, 0], [3, np.nan]])
    pixels(figure)


@pytest.mark.parametrize("classes", [2, 1000])
def test_a_feature_map_names_classes_where_their_points_are(classes):
    labels = np.arange(2 * classes) % classes
    points = np.stack([labels, labels], axis=1) + np.random.default_rng(0).normal(size=(1, 2))
    figure = draw_feature_map(points, labels, [f"c{i}" for i in range(classes)])
    (axes,) = figure.axes
    assert len(axes.texts) == min(classes, 40)
    second = axes.texts[1]
    assert second.get_text() == "c1"
    assert second.get_position() == pytest.approx(tuple(points[1]))
    pixels(figure)


def test_curves_leave_out_what_was_not_measured():
    record = dict.fromkeys(
        ["training_loss", "training_top1_error", "learning_rate", "validation_loss"], 0.5
    )
    history = [
        {**record, "epoch": n, "validation_top1_error": None, "validation_top5_error": None}
        for n in (1, 2)
    ]
    figure = draw_curves(history, "a $title$")
    loss, error, _ = figure.axes
    assert [line.get_label() for line in loss.lines] == ["training", "validation"]
    assert [line.get_label() for line in error.lines] == ["training top-1"]
    assert error.lines[0].get_ydata() == pytest.approx([50, 50])
    pixels(figure)


def test_a_dark_theme_is_dark_and_a_light_one_light():
    matrix = np.eye(2, dtype=int)
    light, dark = (
        pixels(draw_confusion_matrix(matrix, ["a", "b"], theme))[0, 0] for theme in (LIGHT, DARK)
    )
    assert (light > 250).all() and (dark < 60).all()


NAMES = ["猫", "Кошка", "γάτα", "a $b_{c}^d", "tab\tand\nline", "𓃠𓃠", "", "x" * 200, "\x00\u202e"]


def test_names_in_any_script_are_drawn_or_replaced_by_their_number():
    names = drawable(NAMES)
    assert names[1:5] == ["Кошка", "γάτα", "a $b_{c}^d", "tab and line"]
    assert names[0] in ("猫", "class 0")  # by the fonts of the machine
    assert names[6] == "class 6"
    assert names[8] == "class 8"
    figure = draw_confusion_matrix(np.eye(len(NAMES), dtype=int), names)
    assert pixels(figure).std() > 0
    assert ticks(figure.axes[0], "x")[3] == "a $b_{c}^d"


def test_letters_that_no_font_has_make_no_noise():
    figure = draw_tiles([Tile(np.zeros((4, 4, 3), np.uint8), "𓃠", ["\ue123"], [0.5])])
    pixels(figure)


def test_long_names_are_cut_and_wide_letters_count_twice():
    assert shortened(["abcdef", "abcdefg"], 6) == ["abcdef", "abcde…"]
    assert shortened(["猫猫猫", "猫猫猫猫"], 6) == ["猫猫猫", "猫猫…"]
    assert text_style(["abc"])["fontfamily"] == ["DejaVu Sans"]


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_same_picture_gives_the_same_file_whole_or_not_at_all(tmp_path, suffix):
    def draw(path):
        return save_picture(draw_tiles([tile(0)]), path).read_bytes()

    first, second = draw(tmp_path / f"a{suffix}"), draw(tmp_path / f"b{suffix}")
    assert len(first) == len(second)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"a{suffix}", f"b{suffix}"]
