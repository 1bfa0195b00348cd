"""The batches of an epoch, distributed over the devices of a run."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from alexnet_tf.data.examples import Examples
from alexnet_tf.data.images import augment_colors
from alexnet_tf.data.pipeline import Shard, training_batches
from alexnet_tf.data.statistics import Statistics
from alexnet_tf.settings import Recipe
from alexnet_tf.training.devices import DeviceConfiguration

_BATCHES_ON_GPU = 2  # copied while the GPU computes


@dataclasses.dataclass(frozen=True)
class TrainingInput:
    """The training examples on their way to the devices.

    Attributes:
      devices: Where the run computes.
      train: The training examples; `statistics` are theirs.
      recipe: Their augmentation, and the size of the global batch.
      seed: Seed of order and augmentation.
      class_weights: float32 [classes], the weight of each class in the loss; None: 1 for all.
    """

    devices: DeviceConfiguration
    train: Examples
    recipe: Recipe
    statistics: Statistics
    seed: int
    class_weights: np.ndarray | None = None

    def epoch(self, epoch: int, lighting: bool, skip_batches: int = 0) -> Iterator[Any]:
        """Returns an iterator over the batches of an epoch, from 0, distributed if need be.

        After a resume inside the epoch, `skip_batches` global batches are skipped. `lighting` is
        whether PCA lighting is on.
        """

        def dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
            workers = context.num_input_pipelines
            return training_batches(
                self.train,
                self.recipe if lighting else self.recipe.replace(lighting_std=0.0),
                self.statistics,
                seed=self.seed,
                epoch=epoch,
                batch_size=self.recipe.batch_size,
                skip_batches=skip_batches,
                shard=Shard(
                    context.input_pipeline_id, workers, context.num_replicas_in_sync // workers
                ),
                class_weights=self.class_weights,
                # On a CPU the input's threads flip images; a GPU does it without slowing down.
                flip_on_device=self.devices.on_gpus,
            )

        if self.devices.strategy_name not in ("single", "towers"):
            # The strategy itself copies batches to its GPUs while they compute.
            return iter(self.devices.strategy.distribute_datasets_from_function(dataset))
        batches = dataset(tf.distribute.InputContext())
        if self.devices.on_gpus:
            gpu = self.devices.devices[0]
            batches = batches.apply(tf.data.experimental.prefetch_to_device(gpu, _BATCHES_ON_GPU))
        return iter(batches)

    def preview(self, count: int, mean: Any = None) -> np.ndarray:
        """Returns the run's first images, augmented, as uint8 [n, p, p, c].

        Values beyond 0..255 after PCA lighting are clipped. Lighting with a divisor needs `mean`,
        which the network subtracts.
        """
        batches = training_batches(
            self.train,
            self.recipe,
            self.statistics,
            seed=self.seed,
            epoch=0,
            batch_size=min(count, len(self.train)),
        )
        batch = next(iter(batches))
        divisor = self.recipe.lighting_divisor if self.recipe.lighting_std > 0 else 1.0
        images = augment_colors(batch["image"], batch, divisor, mean)
        return np.round(np.clip(images, 0, 255)).astype(np.uint8)
