"""A store's refusals are answers: one decorator for `handle`."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from pigpen.errors import BodyAborted, NoAnswer, PigpenError
from pigpen.http.answers import error_answer
from pigpen.http.message import Request, Response

F = TypeVar("F", bound=Callable[..., Any])


def answering(handle: F) -> F:
    """Turn what a store raises into its answer, so that a combinator sees statuses only.

    What means that there is no answer, or no whole request body, is raised on.
    """

    @wraps(handle)
    async def answer(store: object, request: Request) -> Response:
        try:
            response: Response = await handle(store, request)
        except (NoAnswer, BodyAborted):
            raise
        except PigpenError as error:
            return error_answer(error)
        return response

    return cast(F, answer)
