"""A pickle reader that calls only an allowed list of names. A pickle is a program."""

import io
import pickle
import pickletools
from collections.abc import Mapping
from typing import Any

# What damaged pickles raise, in the unpickler or in what it calls.
PICKLE_DAMAGE = (
    *(pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError),
    *(AttributeError, OverflowError, RecursionError, MemoryError, NotImplementedError),
)


class RestrictedUnpickler(pickle.Unpickler):
    """The standard unpickler, limited to allowed names.

    Args:
      pickled: The pickle. The sizes in it are checked against its length, since the unpickler
        allocates what they claim.
      allowed: What a pickle may call, by (module, name): stand-ins for the real classes.

    Raises:
      UnpicklingError: A size is larger than the pickle.
      ValueError: An instruction is unknown, or ends behind the pickle.
    """

    def __init__(self, pickled: bytes, allowed: Mapping[tuple[str, str], Any]) -> None:
        for opcode, argument, _ in pickletools.genops(pickled):
            if opcode.name in ("PUT", "LONG_BINPUT") and (argument or 0) > len(pickled):
                raise pickle.UnpicklingError("it claims more memory than it has bytes")
        super().__init__(io.BytesIO(pickled), encoding="latin1")
        self._allowed = allowed

    def find_class(self, module: str, name: str) -> Any:
        """Returns what the pickle may call under a name.

        Raises:
          UnpicklingError: The name is not allowed.
        """
        if (module, name) not in self._allowed:
            raise pickle.UnpicklingError(f"it calls {module}.{name}, which weights do not need")
        return self._allowed[module, name]
