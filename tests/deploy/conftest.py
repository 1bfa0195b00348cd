"""Uses the small model and the images of the export tests."""

from tests.export.conftest import jpegs, model, resized  # noqa: F401
