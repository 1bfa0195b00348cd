"""AlexNet's layers. Each is an ordinary Keras layer and is registered as `alexnet_tf>Name`."""

from alexnet_tf.model.layers.batch_normalization import BatchNormalization
from alexnet_tf.model.layers.dropout import InvertedDropout, PaperDropout
from alexnet_tf.model.layers.grouped_convolution import GroupedConv2D
from alexnet_tf.model.layers.inputs import MeanSubtraction
from alexnet_tf.model.layers.local_response_normalization import LocalResponseNormalization
from alexnet_tf.model.layers.max_pooling import MaxPooling2D
from alexnet_tf.model.layers.probabilities import Probabilities
from alexnet_tf.model.layers.spatial_response_normalization import SpatialResponseNormalization

__all__ = [
    "BatchNormalization",
    "GroupedConv2D",
    "InvertedDropout",
    "LocalResponseNormalization",
    "MaxPooling2D",
    "MeanSubtraction",
    "PaperDropout",
    "Probabilities",
    "SpatialResponseNormalization",
]
