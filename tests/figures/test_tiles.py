"""Images with bars, and images with their nearest neighbors."""

import numpy as np

from alexnet_tf.figures.tiles import NOT_IN_TOP, Tile, draw_neighbors, draw_tiles
from tests.figures.drawing import pixels, texts


def tile(label_rank, channels=3):
    image = np.zeros((8, 8, channels), np.uint8)
    return Tile(image, "cat", ["dog", "cat"], [0.7, 0.3], label_rank)


def test_bars_distinguish_hits_mistakes_and_unknown_classes():
    def colors(label_rank):
        return [bar.get_facecolor()[:3] for bar in draw_tiles([tile(label_rank)]).axes[1].patches]

    hit, second, none, unknown = (colors(rank) for rank in (0, 1, NOT_IN_TOP, None))
    assert hit[0] == unknown[0] == second[1]
    assert second[0] == none[0] != hit[0]
    assert none[1] not in (hit[0], none[0])
    marks = texts(draw_tiles([tile(1)]).axes[1])
    assert marks == ["dog  70.0%", "cat ✓  30.0%"]
    assert len(draw_tiles([tile(0, 1)] * 5).axes) == 10  # gray, in two rows
    pixels(draw_tiles([Tile(np.zeros((2, 2, 3), np.uint8), "", ["a"], [float("nan")])]))


def test_neighbors_of_another_class_have_a_cross():
    image = np.zeros((8, 8, 3), np.uint8)
    figure = draw_neighbors([(image, "cat")], [[(image, "cat"), (image, "dog")]])
    assert [texts(axes) for axes in figure.axes] == [["cat"], ["cat"], ["× dog"]]
    pixels(figure)
