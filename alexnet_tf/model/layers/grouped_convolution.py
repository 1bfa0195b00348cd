"""Grouped convolution, with the paddings that AlexNet needs."""

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from alexnet_tf.model.geometry import output_pixels
from alexnet_tf.model.layers.compiled import uses_native_kernels, uses_training_kernels

_MAX_BLOCK_CHANNELS = 4  # up to which training replaces a strided convolution by blocks


@keras.saving.register_keras_serializable(package="alexnet_tf")
class GroupedConv2D(keras.layers.Conv2D):
    """Convolves each group of channels with filters of its own (paper, section 3.5).

    With `s` the strides and `x` the padded input, filter `f` in group `g` sees the channels `c` of
    that group only:

        output[y, x, f] = bias[f] + sum(x[s * y + i, s * x + j, c] * kernel[i, j, c, f])

    `keras.layers.Conv2D` compiles a grouped convolution through XLA, which is three times slower
    on a CPU, needs XLA wherever the model is served, and cannot be converted to ONNX. This layer
    splits the channels, convolves each group and concatenates the results. In training, and inside
    `training_kernels` and `native_kernels`, one operation convolves all groups: without copies,
    and on CPUs with biases and ReLU in the same pass. The kernel keeps Keras' shape, `(height,
    width, channels // groups, filters)`; the output channels of a group are adjacent.

    Args:
      filters: Integer. Output channels.
      kernel_size: Integer, or (height, width): the kernel in pixels.
      strides: Integer, or (vertical, horizontal): the step in pixels.
      padding: "valid"; "same"; an integer, the pixels of zeros on each side; or "ceil", the rule
        of the 2012 code: `1 + ceil((size - kernel_size) / strides)` outputs, where the last
        windows reach beyond the right and the bottom border, into zeros.
      groups: Integer that divides the input's channels and `filters`.
      **kwargs: Keyword arguments of `keras.layers.Conv2D`. `data_format` can only be
        "channels_last", which is the default whatever Keras' own setting is.

    Input shape: `(batch, height, width, channels)`, any float dtype.
    Output shape: `(batch, new_height, new_width, filters)`.

    Raises:
      ValueError: `padding` or `data_format` is not supported, `groups` does not divide the
        channels, or the input is too small for one output.

    Examples:
      >>> layer = an.GroupedConv2D(8, kernel_size=3, strides=2, groups=2)
      >>> layer(np.zeros((1, 11, 11, 6))).shape, layer.kernel.shape
      (TensorShape([1, 5, 5, 8]), TensorShape([3, 3, 3, 8]))
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        strides: int | tuple[int, int] = (1, 1),
        padding: str | int = "valid",
        groups: int = 1,
        **kwargs: Any,
    ) -> None:
        is_name = isinstance(padding, str) and padding in ("same", "valid", "ceil")
        is_size = isinstance(padding, int) and not isinstance(padding, bool) and padding >= 0
        if not is_name and not is_size:
            raise ValueError(
                "`padding` must be 'same', 'valid', 'ceil' or a number of pixels, at least 0. "
                f"Received: padding={padding!r}"
            )
        data_format = kwargs.pop("data_format", None)
        if data_format not in (None, "channels_last"):
            raise ValueError(
                "GroupedConv2D supports only data_format='channels_last'. "
                f"Received: data_format={data_format!r}"
            )
        self._padding = padding  # Keras' own `padding` is "valid" where it has no such padding
        super().__init__(
            filters,
            kernel_size,
            strides=strides,
            padding="same" if padding == "same" else "valid",
            data_format="channels_last",
            groups=groups,
            **kwargs,
        )

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Returns the activation of the convolution plus the biases.

        The biases are added by a plain addition instead of Keras' BiasAdd: in bfloat16 on the CPU,
        the gradient of BiasAdd accumulates its terms one after another in bfloat16, which loses
        the gradient of conv1's biases completely.
        """
        kernel = tf.convert_to_tensor(self.kernel)
        if training and self._is_faster_in_blocks(inputs):
            outputs = convolve_blocks(self._padded(inputs), kernel, self.strides[0])
        elif uses_training_kernels(training) and self._is_faster_in_one_operation():
            outputs = convolve_groups(self._padded(inputs), kernel, self.strides, self.padding)
        else:
            outputs = self.convolution_op(inputs, kernel)
        if self.use_bias:
            bias = tf.convert_to_tensor(self.bias)
            outputs = _add_bias(outputs, bias) if training else tf.add(outputs, bias)
        return outputs if self.activation is None else self.activation(outputs)

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """Returns the concatenated convolutions of the groups, without the biases."""
        inputs = self._padded(inputs)
        if self.groups == 1:
            return super().convolution_op(inputs, kernel)
        if uses_native_kernels():
            return tf.nn.conv2d(
                inputs, kernel, self.strides, self.padding.upper(), dilations=self.dilation_rate
            )
        groups = zip(
            ops.split(inputs, self.groups, axis=-1),
            ops.split(kernel, self.groups, axis=-1),
            strict=True,
        )
        return ops.concatenate([super(GroupedConv2D, self).convolution_op(*g) for g in groups], -1)

    def _padded(self, inputs: Any) -> Any:
        """Returns the inputs with the zeros around them that Keras does not add."""
        paddings = [self._zeros(size, axis) for axis, size in enumerate(inputs.shape[1:3])]
        if all(zeros == (0, 0) for zeros in paddings):
            return inputs
        return ops.pad(inputs, [(0, 0), *paddings, (0, 0)])

    def _is_faster_in_blocks(self, inputs: Any) -> bool:
        """Returns whether `convolve_blocks` is faster: few channels, a stride, bfloat16."""
        stride = self.strides[0]
        return (
            not uses_native_kernels()  # measured on CPUs
            and self.compute_dtype == "bfloat16"
            and self.groups == 1
            and self._padding != "same"
            and self.strides == (stride, stride)
            and 1 < stride <= min(self.kernel_size)
            and self.kernel_size[0] == self.kernel_size[1]
            and self.dilation_rate == (1, 1)
            and inputs.shape[3] <= _MAX_BLOCK_CHANNELS
            and None not in inputs.shape[1:3]
        )

    def _is_faster_in_one_operation(self) -> bool:
        """Returns whether `convolve_groups` is faster, which has no dilation: measured on CPUs."""
        return self.groups > 1 and self.dilation_rate == (1, 1) and not uses_native_kernels()

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Returns (batch, height, width, filters).

        Raises:
          ValueError: The input is too small for one output.
        """
        sides = []
        for axis, size in enumerate(input_shape[1:3]):
            side = None if size is None else self._output_size(size, axis)
            if side is not None and side < 1:
                raise ValueError(
                    f"The input is too small for one output of {self.name}. "
                    f"Received: input_shape={tuple(input_shape)}, "
                    f"kernel_size={self.kernel_size}, padding={self._padding!r}"
                )
            sides.append(side)
        return (input_shape[0], *sides, self.filters)

    def _window_size(self, axis: int) -> int:
        """Returns the size of one window along an axis in pixels, dilation included."""
        return (self.kernel_size[axis] - 1) * self.dilation_rate[axis] + 1

    def _output_size(self, size: int, axis: int) -> int:
        """Returns the number of outputs along an axis."""
        return output_pixels(size, self._window_size(axis), self.strides[axis], self._padding)

    def _zeros(self, size: int | None, axis: int) -> tuple[int, int]:
        """Returns the zeros before and after the input along an axis, without Keras' own."""
        if isinstance(self._padding, int):
            return self._padding, self._padding
        if self._padding != "ceil":
            return 0, 0
        if size is None:
            raise ValueError(
                "padding='ceil' needs a fixed height and width of the input. Received: None"
            )
        last_window = (self._output_size(size, axis) - 1) * self.strides[axis]
        # Never negative: the last window ends at the border or beyond it.
        return 0, last_window + self._window_size(axis) - size

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "padding": self._padding}


@tf.custom_gradient
def _add_bias(outputs: tf.Tensor, bias: tf.Tensor) -> tuple[tf.Tensor, Any]:
    """Returns outputs + bias; the gradient of the bias is summed by a matrix product.

    The product takes half the time of a sum, and accumulates in float32. Inference does not use
    this function, so that exported graphs contain no custom gradient.
    """

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        rows = tf.reshape(upstream, [-1, upstream.shape[-1]])
        ones = tf.ones([1, tf.shape(rows)[0]], rows.dtype)
        return upstream, tf.matmul(ones, rows)[0]

    return outputs + bias, gradient


def convolve_groups(
    inputs: tf.Tensor, kernel: tf.Tensor, strides: tuple[int, int], padding: str
) -> tf.Tensor:
    """Returns the convolution of all groups by one operation, and its gradient group by group.

    On CPUs TensorFlow has the convolution, but the gradients only in some dtypes and with oneDNN.

    Args:
      inputs: [batch, height, width, channels], any float dtype.
      kernel: [height, width, channels // groups, filters] of the same dtype.
      strides: Vertical and horizontal, in pixels.
      padding: "valid" or "same".

    Returns:
      [batch, new_height, new_width, filters].
    """
    groups = inputs.shape[-1] // kernel.shape[2]
    options = {"strides": [1, *strides, 1], "padding": padding.upper()}

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        of_inputs, of_kernel = [], []
        split = (tf.split(tensor, groups, axis=-1) for tensor in (inputs, kernel, upstream))
        for x, k, dy in zip(*split, strict=True):
            dx = tf.raw_ops.Conv2DBackpropInput(
                input_sizes=tf.shape(x), filter=k, out_backprop=dy, **options
            )
            dk = tf.raw_ops.Conv2DBackpropFilter(
                input=x, filter_sizes=tf.shape(k), out_backprop=dy, **options
            )
            of_inputs.append(dx)
            of_kernel.append(dk)
        return tf.concat(of_inputs, axis=-1), tf.concat(of_kernel, axis=-1)

    @tf.custom_gradient
    def convolve(inputs: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Any]:
        return tf.raw_ops.Conv2D(input=inputs, filter=kernel, **options), gradient

    return convolve(inputs, kernel)


def convolve_blocks(inputs: tf.Tensor, kernel: tf.Tensor, stride: int) -> tf.Tensor:
    """Returns a strided convolution without padding, computed on blocks of stride x stride pixels.

    Each block of pixels becomes one pixel with stride ** 2 times as many channels. The kernel,
    padded with zeros to a multiple of the stride, is rearranged likewise, and the stride becomes
    1. The sums have the same terms and some zeros. The 11x11 kernel of 3 channels at stride 4
    becomes a 3x3 kernel of 48 channels, whose gradient bfloat16 matrix units compute three times
    faster.

    Args:
      inputs: [batch, height, width, channels], any float dtype; height and width known, and at
        least the kernel's size.
      kernel: [size, size, channels, filters] of the same dtype; size is at least the stride.
      stride: In pixels, vertical and horizontal.

    Returns:
      [batch, 1 + (height - size) // stride, 1 + (width - size) // stride, filters].
    """
    size, channels, filters = kernel.shape[0], inputs.shape[3], kernel.shape[3]
    blocks = -(-size // stride)  # along each side of the kernel
    outputs = [1 + (side - size) // stride for side in inputs.shape[1:3]]
    sides = [stride * (count - 1 + blocks) for count in outputs]
    overhang = [max(0, side - given) for side, given in zip(sides, inputs.shape[1:3], strict=True)]
    inputs = tf.pad(inputs, [[0, 0], [0, overhang[0]], [0, overhang[1]], [0, 0]])
    inputs = inputs[:, : sides[0], : sides[1]]
    rows, columns = (side // stride for side in sides)
    inputs = tf.reshape(inputs, [-1, rows, stride, columns, stride, channels])
    inputs = tf.transpose(inputs, [0, 1, 3, 2, 4, 5])
    inputs = tf.reshape(inputs, [-1, rows, columns, stride * stride * channels])
    padding = blocks * stride - size
    kernel = tf.pad(kernel, [[0, padding], [0, padding], [0, 0], [0, 0]])
    kernel = tf.reshape(kernel, [blocks, stride, blocks, stride, channels, filters])
    kernel = tf.transpose(kernel, [0, 2, 1, 3, 4, 5])
    kernel = tf.reshape(kernel, [blocks, blocks, stride * stride * channels, filters])
    return tf.nn.conv2d(inputs, kernel, 1, "VALID")
