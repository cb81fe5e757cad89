"""The whole job on bundled data: every step is a command a user could type."""
