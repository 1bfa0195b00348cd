"""The paper's network in PyTorch: groups, LRN over all channels, overlapping pooling."""

import numpy as np
import torch
from torch import nn


def alexnet(classes: int = 1000) -> nn.Module:
    """Returns the same network as `alexnet_tf.build_model("paper")`, in channels_last layout.

    PyTorch's LRN divides alpha by the window size, so its alpha is five times the paper's.
    """

    def norm() -> nn.Module:
        return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)

    network = nn.Sequential(
        nn.ZeroPad2d((0, 3, 0, 3)),
        nn.Conv2d(3, 96, 11, stride=4),
        nn.ReLU(),
        norm(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(96, 256, 5, padding=2, groups=2),
        nn.ReLU(),
        norm(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(256, 384, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 384, 3, padding=1, groups=2),
        nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1, groups=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Flatten(),
        nn.Linear(9216, 4096),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(4096, 4096),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(4096, classes),
    )
    return network.to(memory_format=torch.channels_last)


def channels_last(images: np.ndarray) -> torch.Tensor:
    """Returns float32 [b, h, w, c] as a [b, c, h, w] tensor in channels_last layout."""
    return (
        torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    )
