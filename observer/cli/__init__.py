"""The observer's commands."""
