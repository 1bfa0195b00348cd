"""Convolution in towers that do not see each other, with the paddings AlexNet needs."""

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from alexnet_tf.model.block_convolution import convolve_blocks
from alexnet_tf.model.geometry import output_pixels

_FEW_MAPS = 4  # up to which a strided convolution is made a dense one of more maps in training


@keras.saving.register_keras_serializable(package="alexnet_tf")
class GroupedConv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D` whose groups are separate convolutions (paper, section 3.5).

    Keras compiles a grouped convolution through XLA, which is three times slower on a CPU, needs
    XLA wherever the model is served, and cannot be converted to ONNX. This one splits the maps,
    convolves each tower and concatenates. The kernel keeps Keras's shape,
    [height, width, in // groups, out]; output maps of one tower are adjacent.

    Args:
      filters: Output maps.
      kernel_size: Side of the kernel in pixels, or (height, width).
      strides: Step in pixels, or (down, across).
      padding: "valid"; "same"; the pixels of zeros on each side; or "ceil", the rule of the 2012
        code: `1 + ceil((n - kernel) / stride)` outputs, where the last windows overhang into zeros
        at the right and bottom edge.
      groups: Towers; divides the input's maps and `filters`.
      **kwargs: Of `keras.layers.Conv2D`, except `data_format`: maps come last.

    Input: [batch, height, width, maps], any float dtype. Output likewise, with `filters` maps.

    Raises:
      ValueError: The padding is none of these, the groups do not divide the maps, or the input is
        too small for one output.
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
        known = isinstance(padding, str) and padding in ("same", "valid", "ceil")
        counted = isinstance(padding, int) and not isinstance(padding, bool) and padding >= 0
        if not known and not counted:
            raise ValueError(
                "padding must be 'same', 'valid', 'ceil' or a number of pixels. "
                f"Received: padding={padding!r}"
            )
        if kwargs.pop("data_format", None) not in (None, "channels_last"):
            raise ValueError("GroupedConv2D takes maps last: data_format must be 'channels_last'.")
        self._padding = padding  # Keras itself knows only two, and is told of one of them
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
        """Returns the convolution plus the biases, through the activation.

        The biases are added by a plain addition, not as Keras does by BiasAdd: in bfloat16 on the
        CPU the gradient of that adds up one term after another, and loses conv1's biases' wholly.
        """
        if training and self._gains_by_blocks(inputs):
            kernel = tf.convert_to_tensor(self.kernel)
            outputs = convolve_blocks(self._padded(inputs), kernel, self.strides[0])
        else:
            outputs = self.convolution_op(inputs, self.kernel)
        if self.use_bias:
            bias = tf.convert_to_tensor(self.bias)
            outputs = _add_bias(outputs, bias) if training else tf.add(outputs, bias)
        return outputs if self.activation is None else self.activation(outputs)

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """Returns the convolution of each tower, side by side, without the biases."""
        inputs = self._padded(inputs)
        if self.groups == 1:
            return super().convolution_op(inputs, kernel)
        towers = zip(
            ops.split(inputs, self.groups, axis=-1),
            ops.split(kernel, self.groups, axis=-1),
            strict=True,
        )
        return ops.concatenate([super(GroupedConv2D, self).convolution_op(*t) for t in towers], -1)

    def _padded(self, inputs: Any) -> Any:
        """Returns the inputs with the zeros around them that Keras itself does not add."""
        paddings = [self._zeros(size, axis) for axis, size in enumerate(inputs.shape[1:3])]
        if all(zeros == (0, 0) for zeros in paddings):
            return inputs
        return ops.pad(inputs, [(0, 0), *paddings, (0, 0)])

    def _gains_by_blocks(self, inputs: Any) -> bool:
        """Returns whether `convolve_blocks` is faster: few maps, a stride, bfloat16."""
        stride = self.strides[0]
        return (
            self.compute_dtype == "bfloat16"
            and self.groups == 1
            and self._padding != "same"
            and self.strides == (stride, stride)
            and 1 < stride <= min(self.kernel_size)
            and self.kernel_size[0] == self.kernel_size[1]
            and self.dilation_rate == (1, 1)
            and inputs.shape[3] <= _FEW_MAPS
            and None not in inputs.shape[1:3]
        )

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Returns [batch, height, width, filters].

        Raises:
          ValueError: The input is too small for one output.
        """
        sides = []
        for axis, size in enumerate(input_shape[1:3]):
            side = None if size is None else self._side(size, axis)
            if side is not None and side < 1:
                raise ValueError(
                    f"the input is too small for one output of {self.name}. "
                    f"Received: input_shape={tuple(input_shape)}, "
                    f"kernel_size={self.kernel_size}, padding={self._padding!r}"
                )
            sides.append(side)
        return (input_shape[0], *sides, self.filters)

    def _extent(self, axis: int) -> int:
        """Returns the pixels that one window spans."""
        return (self.kernel_size[axis] - 1) * self.dilation_rate[axis] + 1

    def _side(self, size: int, axis: int) -> int:
        """Returns the outputs along an axis."""
        return output_pixels(size, self._extent(axis), self.strides[axis], self._padding)

    def _zeros(self, size: int | None, axis: int) -> tuple[int, int]:
        """Returns the zeros before and after the input along an axis, beyond Keras's own."""
        if isinstance(self._padding, int):
            return self._padding, self._padding
        if self._padding != "ceil":
            return 0, 0
        if size is None:
            raise ValueError("padding 'ceil' needs the input's height and width: both are fixed")
        last_window = (self._side(size, axis) - 1) * self.strides[axis]
        # Negative never: ceil reaches at least the last pixel that a valid window would.
        return 0, last_window + self._extent(axis) - size

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments."""
        return {**super().get_config(), "padding": self._padding}


@tf.custom_gradient
def _add_bias(outputs: tf.Tensor, bias: tf.Tensor) -> tuple[tf.Tensor, Any]:
    """Returns outputs + bias; the bias's gradient is added up by a matrix product.

    That takes half the time of a sum, and adds in float32. It stays out of graphs that only infer.
    """

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        rows = tf.reshape(upstream, [-1, upstream.shape[-1]])
        ones = tf.ones([1, tf.shape(rows)[0]], rows.dtype)
        return upstream, tf.matmul(ones, rows)[0]

    return outputs + bias, gradient
