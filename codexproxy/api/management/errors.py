"""How the management API says no: `{"error": "a sentence"}`, with `details` for a body of the wrong shape."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError

from accounts.reauth import TooManyTries
from accounts.services import AccountsError, LoginServerFailed, NotFound


class Refusal(Exception):
    """An answer other than 2xx."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


_STATUSES: dict[type[AccountsError], int] = {NotFound: 404, LoginServerFailed: 502, TooManyTries: 429}


def install(api: NinjaAPI) -> None:
    """Make every failure of `api` leave in the one shape."""

    def answer(request: HttpRequest, status: int, message: str, **more: object) -> HttpResponse:
        return api.create_response(request, {"error": message, **more}, status=status)

    def unauthenticated(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
        return answer(request, 401, "Dashboard login required: log in, or send an admin API key as a Bearer token.")

    def invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
        # What was sent is not repeated: it may be a token in the wrong field.
        details = [f"{'.'.join(str(part) for part in one['loc'][1:])}: {one['msg']}" for one in error.errors]
        return answer(request, 400, "The request does not have the right shape.", details=details)

    def refused(request: HttpRequest, error: Refusal) -> HttpResponse:
        return answer(request, error.status, str(error))

    def failed(request: HttpRequest, error: AccountsError) -> HttpResponse:
        return answer(request, _STATUSES.get(type(error), 400), str(error))

    def other(request: HttpRequest, error: HttpError) -> HttpResponse:
        return answer(request, error.status_code, str(error))

    api.add_exception_handler(AuthenticationError, unauthenticated)
    api.add_exception_handler(ValidationError, invalid)
    api.add_exception_handler(Refusal, refused)
    api.add_exception_handler(AccountsError, failed)
    api.add_exception_handler(HttpError, other)
