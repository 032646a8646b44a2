"""Other people's networks: from their files to runs in a store."""

from undergrowth.imports.errors import ForeignFileError
from undergrowth.imports.importing import Imported, import_run, import_runs

__all__ = ["ForeignFileError", "Imported", "import_run", "import_runs"]
