"""Features made flat: t-SNE of their principal components."""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

_COMPONENTS = 50  # what van der Maaten and Hinton (2008) reduce to first
_PERPLEXITY = 30.0
_FEWEST = 10  # images below which neighborhoods say nothing


def plane(features: np.ndarray, seed: int) -> tuple[np.ndarray, str]:
    """Returns points whose neighbors are, as far as can be, those of the features.

    Args:
      features: float32 [n, units]; not a number is taken for zero.
      seed: The same one gives the same points.

    Returns:
      float64 [n, 2], and the method's name.
    """
    features = np.nan_to_num(features).astype(np.float64)
    if len(features) < 2 or not np.ptp(features, axis=0).any():
        return np.zeros((len(features), 2)), "PCA"
    count = min(_COMPONENTS, *features.shape)
    components = PCA(count, random_state=seed).fit_transform(features)
    if len(features) < _FEWEST:
        flat = np.zeros((len(features), 2))
        flat[:, : min(2, count)] = components[:, :2]
        return flat, "PCA"
    perplexity = min(_PERPLEXITY, (len(features) - 1) / 3)
    # From principal components the map is the same each time, and large distances mean something.
    start = "pca" if count > 1 else "random"
    method = TSNE(2, perplexity=perplexity, init=start, random_state=seed)
    # Its threads meet a thousand times: beside other work, two take five times as long as one.
    with threadpool_limits(1):
        return method.fit_transform(components).astype(np.float64), "t-SNE"
