"""A Rest for tests: answers from a table or from functions, and writes down what was asked."""

from collections.abc import Callable
from urllib.parse import urlencode

from observer.ports import RestError

Answer = bytes | Callable[[dict[str, str]], bytes]


class FakeRest:
    """Implements `observer.ports.Rest`.

    Args:
        answers: URL without its query -> body, or a function from the query to the body; everything else is a 404.

    Attributes:
        asked: every URL asked for, with its query.
    """

    def __init__(self, answers: dict[str, Answer]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def get(self, url: str, params: dict[str, str] | None = None, headers: dict[str, str] | None = None) -> bytes:
        """The answer to a GET."""
        return self._answer(url, params or {})

    async def post(self, url: str, body: bytes, headers: dict[str, str] | None = None) -> bytes:
        """The answer to a POST; a function is given the body as `body`."""
        return self._answer(url, {"body": body.decode()})

    def _answer(self, url: str, query: dict[str, str]) -> bytes:
        self.asked.append(f"{url}?{urlencode(query)}" if query else url)
        answer = self.answers.get(url)
        if answer is None:
            raise RestError(f"{url} answered 404", 404)
        return answer if isinstance(answer, bytes) else answer(query)
