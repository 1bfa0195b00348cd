"""Images with bars, and images with their nearest."""

import numpy as np
from tests.pictures.drawing import pixels, texts

from alexnet_tf.figures.tiles import NOT_AMONG, Tile, draw_neighbors, draw_tiles


def tile(right, channels=3):
    image = np.zeros((8, 8, channels), np.uint8)
    return Tile(image, "cat", ["dog", "cat"], [0.7, 0.3], right)


def test_bars_tell_a_hit_a_mistake_and_an_image_without_a_label_apart():
    def colors(right):
        return [bar.get_facecolor()[:3] for bar in draw_tiles([tile(right)]).axes[1].patches]

    hit, second, none, unknown = (colors(right) for right in (0, 1, NOT_AMONG, None))
    assert hit[0] == unknown[0] == second[1]
    assert second[0] == none[0] != hit[0]
    assert none[1] not in (hit[0], none[0])
    marks = texts(draw_tiles([tile(1)]).axes[1])
    assert marks == ["dog  70.0%", "cat ✓  30.0%"]
    assert len(draw_tiles([tile(0, 1)] * 5).axes) == 10  # gray, in two rows
    pixels(draw_tiles([Tile(np.zeros((2, 2, 3), np.uint8), "", ["a"], [float("nan")])]))


def test_neighbors_of_another_class_are_marked():
    image = np.zeros((8, 8, 3), np.uint8)
    figure = draw_neighbors([(image, "cat")], [[(image, "cat"), (image, "dog")]])
    assert [texts(axes) for axes in figure.axes] == [["cat"], ["cat"], ["× dog"]]
    pixels(figure)
