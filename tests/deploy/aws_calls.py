"""Which operations of AWS a piece of code calls."""

from types import TracebackType
from typing import Any, Self

from botocore.client import BaseClient

READS = ("Describe", "Get", "Head", "List")


class Calls:
    """Notes every call of every boto3 client while it is entered."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def __enter__(self) -> Self:
        self._before = BaseClient._make_api_call
        made, before = self.made, self._before

        def call(self: BaseClient, operation_name: str, api_params: Any) -> Any:
            made.append(operation_name)
            return before(self, operation_name, api_params)

        BaseClient._make_api_call = call
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        BaseClient._make_api_call = self._before

    def writes(self) -> list[str]:
        """Those that are no questions."""
        return [name for name in self.made if not name.startswith(READS)]
