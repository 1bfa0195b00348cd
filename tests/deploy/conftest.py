"""The small model and images of the tests of export."""

from tests.export.conftest import jpegs, model, squares  # noqa: F401
