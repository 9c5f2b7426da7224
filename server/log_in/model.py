"""Logging in: how long it lasts, and why it is refused."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

from server.accounts.model import Company
from server.kit import errors

SESSION_LASTS: Final[Mapping[str, timedelta]] = {
    "bearer": timedelta(days=30),
    "cookie": timedelta(hours=12),
}


class LoginFailed(errors.Unauthenticated):
    slug = "login-failed"
    title = "Log-in failed"

    def __init__(self) -> None:
        super().__init__("Login and password do not belong together.")


class CompanyNeeded(errors.Conflict):
    slug = "company-needed"
    title = "Choose a company"

    def __init__(self, companies: Sequence[Company]) -> None:
        self.companies = tuple(companies)
        super().__init__("Log in again and say for which company.")

    def members(self) -> dict[str, object]:
        return {
            "companies": [
                {"company_id": str(one.company_id), "name": one.name} for one in self.companies
            ]
        }


class CodeNeeded(errors.Conflict):
    """Says nothing of who it is, nor of which company: the code is the other half of proving it."""

    slug = "code-needed"
    title = "A code is needed as well"

    def __init__(self) -> None:
        super().__init__("Send the code of the authenticator app, or a recovery code, as well.")


class TooManyAttempts(errors.TooMany):
    slug = "too-many-attempts"
    title = "Too many attempts to log in"

    def __init__(self, retry_after_s: float) -> None:
        self.retry_after_s = retry_after_s
        super().__init__()


class LogInBusy(errors.Unavailable):
    slug = "log-in-busy"
    title = "Too many people are logging in just now"
    retry_after_s = 1.0
