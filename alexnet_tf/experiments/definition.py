"""What an experiment is: a claim, and named changes to a recipe that put it to the test."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from alexnet_tf.recipes import get_recipe
from alexnet_tf.settings import Recipe


@dataclasses.dataclass(frozen=True)
class Variant:
    """One of the things compared.

    Attributes:
      name: For the table and the run folders.
      changes: What `Recipe.replace` takes, and "network", a dict of what `Network.replace` takes.
      runs_of: A variant whose runs this one judges by `metric`, instead of training its own.
      metric: Instead of the experiment's first.
      published: The number to be met or beaten, in the metric's unit; None: there is none.
    """

    name: str
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    runs_of: str | None = None
    metric: str | None = None
    published: float | None = None


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two variants of which a claim says that one is better.

    Attributes:
      better: The name of the one that the claim says is better.
      worse: The name of the other.
      paper: By how much in the paper, in points, or times with the experiment's `ratio`; None: it
        gives no number.
      more: Whether the paper says that it is more than that.
    """

    better: str
    worse: str
    paper: float | None = None
    more: bool = False


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A claim, and how it is put to the test.

    Attributes:
      name: What `experiment` takes.
      claim: One sentence.
      section: Of the paper, "" where the claim is not the paper's.
      paper: The paper's number, in words.
      recipe: What the variants change.
      variants: What is compared.
      metrics: Names in `measures.METRICS`; the first is what the claim is judged by. Lower is
        better in all of them.
      expected: What the claim says is better than what.
      alike_within: Where the claim is that all variants are alike: how many points their means may
        lie apart. With one `expected` pair: how far the worse may be behind; it may be ahead.
      ratio: Whether a pair is compared by how many times as much, instead of by a difference.
      dataset: As `train` takes it.
      limit_train: Training images, drawn by seed; None: all.
      limit_val: Test images; None: all.
      epochs: None: the recipe's.
      seeds: How many: 0, 1, 2 ... The variants share a seed's images, order and crops.
      changes: To the recipe, in all variants.
      rates: Learning rates to try with the first seed for each variant, which then keeps its best;
        none: the recipe's. Only with metrics of the training set.
      how: What is ours in the test, a sentence.
      reason: Why the claim may not hold here, a sentence.
    """

    name: str
    claim: str
    section: str
    paper: str
    recipe: str
    variants: tuple[Variant, ...]
    metrics: tuple[str, ...] = ("test_error",)
    expected: tuple[Pair, ...] = ()
    alike_within: float | None = None
    ratio: bool = False
    dataset: str = "cifar10"
    limit_train: int | None = 10_000
    limit_val: int | None = None
    epochs: int | None = None
    seeds: int = 3
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    rates: tuple[float, ...] = ()
    how: str = ""
    reason: str = ""

    def variant(self, name: str) -> Variant:
        """Returns the variant of that name."""
        return next(variant for variant in self.variants if variant.name == name)

    def trained(self) -> tuple[Variant, ...]:
        """Returns the variants that train."""
        return tuple(variant for variant in self.variants if variant.runs_of is None)

    def runs_of(self, variant: Variant) -> Variant:
        """Returns the variant whose runs this one judges: itself, but for those that share."""
        return variant if variant.runs_of is None else self.variant(variant.runs_of)

    def recipe_of(
        self, variant: Variant, *, epochs: int | None = None, rate: float | None = None
    ) -> Recipe:
        """Returns what a variant trains with.

        Args:
          variant: One that trains.
          epochs: Instead of the experiment's.
          rate: Instead of the recipe's.
        """
        recipe = get_recipe(self.recipe)
        network = recipe.network
        fields: dict[str, Any] = {}
        for changes in (self.changes, variant.changes):
            given = dict(changes)
            network = network.replace(**given.pop("network", {}))
            fields.update(given)
        recipe = recipe.replace(network=network).replace(**fields)
        wanted = {"epochs": epochs or self.epochs, "learning_rate": rate}
        return recipe.replace(**{name: value for name, value in wanted.items() if value})
