"""Recipes as JSON: in and out, and as earlier versions wrote them."""

import dataclasses
import json
from pathlib import Path

import pytest

from alexnet_tf.recipes import RECIPES, get_recipe
from alexnet_tf.settings import Recipe

SAVED = Path(__file__).parent / "model" / "saved" / "expected.json"


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_is_equal_after_a_round_trip_through_json(name):
    recipe = get_recipe(name)
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


def test_recipe_of_an_earlier_version_is_read():
    values = json.loads(SAVED.read_text(encoding="utf-8"))["recipe"]
    assert values["network"]["lrn_per_tower"] is True  # the names of that version
    assert values["bias_rate_factor"] == 2.0
    assert values["classifier_rate_factor"] == 1.0
    recipe = get_recipe("2012")
    assert Recipe.from_json(values) == dataclasses.replace(
        recipe, description=values["description"]
    )
