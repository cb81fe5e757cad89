"""Errors a person can act on.

Every error we raise on purpose names the thing, the value found, the value wanted and the way out. A door
turns `UsageError` into exit code 2 and any other `ToolkitError` into exit code 1, without a traceback.
"""


class ToolkitError(Exception):
    """Base of every error this project raises on purpose; its text is meant for the user."""


class UsageError(ToolkitError):
    """The command was asked for something that cannot be meant (exit 2)."""


class BadRecording(ToolkitError):
    """Market data broke a rule of the store: it is refused, never repaired."""


class BadArtifact(ToolkitError):
    """A model folder is damaged, incomplete, or not what its manifest says."""


class SchemaMismatch(ToolkitError):
    """Two sides disagree about the features, their order, their parameters or their scaler."""


class NotBuilt(UsageError):
    """A door that exists in the design and not yet in the code; it says so and exits 2."""


class StorageFailed(ToolkitError):
    """The disk failed under a recording; nothing can be vouched for any more, so the process must stop (exit 1)."""
