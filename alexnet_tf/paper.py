"""The numbers of the paper and of the 2012 run that the code uses, each with its source.

Paper: Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional Neural
Networks", NIPS 2012; sections as in the proceedings. Run: the original code, released in 2025, file
`layers/layers-145.cfg` and its parameter files. No TensorFlow here.
"""

# Section 2 and 3: the input.
RESIZED_PIXELS = 256  # shorter side after resizing, and side of the central crop
INPUT_PIXELS = 224  # side of the network's input
CLASSES = 1000

# Section 3.3: LRN, b = a / (k + alpha * sum a^2)^beta, over n adjacent channels.
LRN_K = 2.0
LRN_N = 5
LRN_ALPHA = 1e-4
LRN_BETA = 0.75

# Section 3.4: overlapping pooling.
POOL_SIZE = 3
POOL_STRIDE = 2

# Section 3.5 and figure 2: the whole network.
HIDDEN_UNITS = (4096, 4096)
PARAMETERS = 60_965_224
MULTIPLY_ADDS = 724_406_816

# Section 4: reducing overfitting.
DROPOUT_RATE = 0.5
LIGHTING_STD = 0.1  # of alpha, the random factor of each principal component
TEN_CROPS = 10

# Section 5: details of learning.
BATCH_SIZE = 128
MOMENTUM = 0.9
WEIGHT_DECAY = 0.0005
LEARNING_RATE = 0.01
LEARNING_RATE_DIVISOR = 10.0
LEARNING_RATE_REDUCTIONS = 3  # "reduced three times prior to termination"
EPOCHS = 90  # "roughly 90 cycles through the training set"
WEIGHT_STD = 0.01
LAYERS_WITH_BIAS_ONE = ("conv2", "conv4", "conv5", "fc6", "fc7")

# The 2012 run (layers-145), where it differs.
RUN_LRN_ALPHA = LRN_ALPHA / LRN_N  # the code divides alpha by the window's number of channels
RUN_SPATIAL_SIZE = 5  # spatial LRN in block 2; not in the paper
RUN_SPATIAL_K = 1.0
RUN_SPATIAL_ALPHA = 0.001 / RUN_SPATIAL_SIZE**2
RUN_SPATIAL_BETA = 0.75
RUN_WEIGHT_STD = {"conv3": 0.03, "conv4": 0.03, "conv5": 0.03}
RUN_BIAS_LEARNING_RATE = 0.02  # constant; twice the initial learning rate of the weights
RUN_LIGHTING_DIVISOR = 1.1  # (pixels - mean + lighting) / 1.1 while PCA lighting is on
# ILSVRC-2012 (layer-params-145.cfg): epochs at which the learning rate of the weights is reduced,
# PCA lighting ends and conv1's learning rate becomes 1e-5, conv1 is frozen, and training stops.
RUN_LEARNING_RATE_EPOCHS = (25, 51, 79)
RUN_LIGHTING_OFF_EPOCH = 67
RUN_CONV1_LEARNING_RATE = 1e-5
RUN_CONV1_FROZEN_EPOCH = 72
RUN_EPOCHS = 91

# Published color statistics of the ImageNet training set (cuda-convnet2's metadata): standard
# deviations of 0..255 pixels along each principal component, smallest first, and the eigenvectors
# in columns, rows R, G, B.
IMAGENET_RGB_STDS = (19.72, 37.09, 121.78)
IMAGENET_RGB_EIGENVECTORS = (
    (0.418, -0.713, -0.564),
    (-0.817, -0.024, -0.576),
    (0.397, 0.701, -0.592),
)
