"""What JSON Schema cannot say about this API, told to schemathesis."""

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from itertools import count
from typing import Any, Final, TypeAlias
from uuid import UUID
from zlib import crc32

import schemathesis
from hypothesis import strategies as st
from schemathesis.core.failures import Failure
from schemathesis.openapi.checks import RejectedPositiveData

from server.accounts.model import Locale
from server.demo.company import BUSINESS_NUMBER
from server.disclosures.model import Ground
from server.incidents.model import Source
from server.kit.wire import INSTANT_PATTERN, SAFE_TEXT_PATTERN
from server.log_in.wire import PASSWORD_CHARS_MIN
from server.policies.model import Document
from server.policies.wire import EDITION_MAX
from server.second_factor import model as second_factor
from tests.api.people import AGREED_AT, RECEIVED_AT
from tests.consents import DEVICE_NOTICE_BODY, NOTICE_BODY
from tests.kit.schemathesis_hooks import said

AnyCase: TypeAlias = schemathesis.Case[Any]
# Places that no schema can name: lists that must be of one length, numbers with a check digit,
# parameters that one format has and another has not, phones that could be dialled.
UNSAYABLE: Final = frozenset(
    {"country", "length", "national_id", "not_of_this_format", "phone_unreadable"}
)
_OWN_DAYS: Final = (r"20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])", "2000-01-01")
_LOGINS: Final = {"phone": "+7701{:07}", "login": "+7701{:07}", "email": "m{}@fuzz.kz"}
_LOGIN_CHARS_MAX: Final = 40
LEFT: Final = 32
"""One of so many values stays as it was drawn: a short run must do what the API is for as well."""
OTHER_NUMBER: Final = "210987654321"
FAR_AHEAD: Final = "2090-01-01T00:00:00Z"
_MOMENTS: Final = {
    "told_at": AGREED_AT,
    "received_at": RECEIVED_AT,
    "answer_by": "2026-11-30T10:00:00Z",
}
SPAN: Final = {"from": "2026-11-22T11:30:00Z", "to": "2026-11-22T13:00:00Z"}

things: dict[str, list[str]] = {}
"""Ids that exist, by the name of the member or parameter that takes them."""
in_paths: dict[str, dict[str, str]] = {}
"""Ids for paths alone, by operation: of what no case of another operation erases or changes."""
log_in: dict[str, str] = {}
"""A login and its password."""
past: dict[str, str] = {}
"""An hour that is over, as ``from`` and ``to``."""
contact_code: dict[str, str] = {}
"""The code that was sent to a new e-mail, which waits for it."""
PAST: Final = {"from": "2026-11-22T10:30:00Z", "to": "2026-11-22T10:40:00Z"}
"""A span that is over, and before everything else that is asked for."""
forgotten: dict[str, str] = {}
"""What somebody who forgot their password tells: login, the code they were sent, another one."""
invitation: dict[str, str] = {}
"""The code of an invitation that nobody has accepted yet."""
own: dict[str, str] = {}
"""The driver's own password, which some acts ask for once more."""
makes: dict[str, Callable[[], Any]] = {}
"""What is only good once or for a moment: a ``link`` to a package of data; the time ``now``."""
secret: dict[str, bytes] = {}
"""The one that was begun last for an authenticator app."""
_numbers = count()


def register() -> None:
    """Tell schemathesis; once per process."""
    schemathesis.openapi.format(
        "date", st.from_regex(_OWN_DAYS[0], fullmatch=True).filter(lambda day: day > _OWN_DAYS[1])
    )
    for hook in (map_body, map_path_parameters, map_query, before_call, after_call, filter_failure):
        schemathesis.hook(hook)


def map_body(_context: schemathesis.HookContext, body: Any) -> Any:
    return known(said(body))


def map_path_parameters(context: schemathesis.HookContext, path_parameters: Any) -> Any:
    if context.operation is None or not isinstance(path_parameters, dict):
        return path_parameters
    instead = in_paths.get(context.operation.definition.raw["operationId"], {})
    return {
        name: _own(value, name, instead) if isinstance(value, str) else value
        for name, value in path_parameters.items()
    }


def _own(value: str, name: str, own: Mapping[str, str]) -> str:
    number = crc32(value.encode())
    return own[name] if name in own and number % LEFT else _alone(value, name, number, things)


def map_query(context: schemathesis.HookContext, query: Any) -> Any:
    found = known(said(query))
    deletes = context.operation is not None and (
        context.operation.definition.raw["operationId"] == "delete_track"
    )
    # What is still to come cannot be deleted.
    return {**found, **PAST} if deletes and found == SPAN else found


def known(value: Any, name: str = "") -> Any:
    """Return the value with most of its ids, logins and times replaced by such as are known here.

    What does not fit the schema stays as it is: another case wants it refused.
    """
    match value:
        case dict():
            return {
                key: known(one, key)
                for key, one in (
                    _of_registers(value) or _of_log_ins(value) or _together(value)
                ).items()
            }
        case list():
            return [known(one, name) for one in value]
        case str():
            return _alone(value, name, crc32(value.encode()), things)
        case _:
            return value


def _together(value: dict[str, Any]) -> dict[str, Any]:
    """Replace members that only mean something with each other."""
    match value:
        case {"edition": int(edition), "sha256": str(digest)} if (
            1 <= edition <= EDITION_MAX and _is_digest(digest)
        ):
            together = _notice_in_force(value)
        case {"bin": str(), "privacy_contact": str(), "effective_at": str(at)} if _are_times(at):
            ahead = {"bin": OTHER_NUMBER, "effective_at": FAR_AHEAD}
            together = {**value, **ahead} if _is_bin(value["bin"]) else value
        case {"bin": str(number), "privacy_contact": _, **others} if not others and _is_bin(number):
            together = {**value, "bin": BUSINESS_NUMBER}  # another one is another company
        case {"expires_at": str(at), **others} if not others and _are_times(at):
            together = {}  # a link lasts as long as its delivery: hardly a random time does
        case {"from": str(since), "to": str(until)} if _are_times(since, until):
            together = {**value, **SPAN} if crc32(since.encode()) % LEFT else value
        case {"from": str(first), "to": str(last)} if _are_days(first, last):
            together = {**value, "to": first} if crc32(last.encode()) % LEFT else value
        case _:
            together = value
    return together


def _of_log_ins(value: dict[str, Any]) -> dict[str, Any] | None:
    """Replace what somebody proves themself with; None where there is nothing of it."""
    match value:
        case {"login": str(), "code": str(code), "password": str()} if forgotten and re.fullmatch(
            "[0-9]{8}", code
        ):
            return forgotten
        case {"login": str(login), "password": str()} if log_in and len(login) % 2:
            return {**value, **log_in}
        case {"code": str(code), "password": str()} if invitation and _is_safe(code):
            return {**value, **invitation}
        case {"code": str(code), **others} if (
            contact_code and not others and re.fullmatch("[0-9]{6}", code)
        ):
            return contact_code
        case {"password": str()} if own and _are_passwords(value):
            return dict.fromkeys(value, own["password"])
        case _:
            return None


def _of_registers(value: dict[str, Any]) -> dict[str, Any] | None:
    """Let disclosures have their evidence, and incidents lie in the past; None: it is neither."""
    together: dict[str, Any] | None
    match value:
        case {"ground": str(ground), "evidence": dict(evidence)} if ground in list(Ground):
            together = _evident(value, evidence)
        case {"cause": str(), "source": str(source), "from": str(since), "to": str(until)} if (
            _are_times(since, until) and source in list(Source) and past
        ):
            together = _of_everybody(value)
        case {"reference": str(), "notified_at": str(at)} if _are_times(at) and past:
            together = {**value, "notified_at": past["to"]}
        case {"what": str(), "noticed_at": str(at)} if _are_times(at) and past:
            together = {**value, "noticed_at": past["to"]}
        case _:
            together = None
    return together


def _notice_in_force(value: dict[str, Any]) -> dict[str, Any]:
    """Name a text that is there; what does not fit the schema stays."""
    if value.get("language") not in list(Locale):
        return value
    if "document" not in value:
        return {**value, **DEVICE_NOTICE_BODY}
    return {**value, **NOTICE_BODY} if value["document"] in list(Document) else value


def _evident(value: dict[str, Any], evidence: dict[str, Any]) -> dict[str, Any]:
    """Let a disclosure have a ground whose evidence it has; what does not fit the schema stays."""
    found = {name: one for name, one in evidence.items() if one is not None}
    paper = {"document_number": "7", "document_date": "2020-01-01", **found}
    country = paper.get("country")
    if isinstance(country, str) and len(country) == len("KZ"):
        paper["country"] = "KZ"
    together = {**value, "ground": Ground.CONSENT.value, "evidence": paper}
    sealed = together.get("sealed_until")
    if isinstance(sealed, str) and _are_times(sealed):
        del together["sealed_until"]
    return together if together.get("span") is not None else {**together, "span": SPAN}


def _of_everybody(value: dict[str, Any]) -> dict[str, Any]:
    """Let an assessment have a source that needs no other name."""
    together = {**value, **past, "source": Source.COMPANY.value}
    for name in ("member_id", "api_token_id"):
        if isinstance(together.get(name), str) and _is_uuid(together[name]):
            del together[name]
    return together


def _alone(value: str, name: str, number: int, ids: Mapping[str, list[str]]) -> str:
    if number % LEFT == 0:
        return value
    if name in _MOMENTS and _are_times(value):
        return _MOMENTS[name]  # of the others most are still to come
    if name in ids and _is_uuid(value):
        return ids[name][number % len(ids[name])]
    real = (*log_in.values(), *forgotten.values())
    if name in _LOGINS and _is_safe(value) and value not in real:
        return _LOGINS[name].format(number % 10**7)
    return value


def _are_times(*texts: str) -> bool:
    return all(re.fullmatch(INSTANT_PATTERN, text) for text in texts)


def _are_days(*texts: str) -> bool:
    return all(re.fullmatch(_OWN_DAYS[0], text) for text in texts)


def _is_safe(text: str) -> bool:
    return 1 <= len(text) <= _LOGIN_CHARS_MAX and re.fullmatch(SAFE_TEXT_PATTERN, text) is not None


def _are_passwords(value: Mapping[str, Any]) -> bool:
    """Tell whether that is all there is, and would be taken if it were the right ones."""
    fewest = {"password": 1, "new_password": PASSWORD_CHARS_MIN}
    return value.keys() <= fewest.keys() and all(
        isinstance(text, str) and _is_safe(text) and len(text) >= fewest[name]
        for name, text in value.items()
    )


def _is_bin(text: str) -> bool:
    return re.fullmatch("[0-9]{12}", text) is not None and crc32(text.encode()) % 8 != 0


def _is_digest(text: str) -> bool:
    return re.fullmatch("[0-9a-f]{64}", text) is not None


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def before_call(_context: schemathesis.HookContext, case: AnyCase, _kwargs: dict[str, Any]) -> None:
    if isinstance(case.body, dict):
        # The same body for each variant of a query is made once, past the hook for bodies.
        case.body = _of_the_moment(
            said(case.body), case.operation.definition.raw.get("operationId")
        )
    _level(case.body)


def _of_the_moment(body: dict[str, Any], operation_id: str | None) -> dict[str, Any]:
    """Replace what an operation needs and nobody could draw; what does not fit stays."""
    match operation_id, body:
        case "step_up", {"password": str(text), **others} if (
            own and _is_safe(text) and _is_code(others) and crc32(text.encode()) % LEFT
        ):
            return {**body, **own}
        case "confirm_second_factor", {"code": str(text), **others} if (
            secret and not others and _is_safe(text) and crc32(text.encode()) % LEFT
        ):
            code = second_factor.code_at(secret["begun"], second_factor.step_at(makes["now"]()))
            return {"code": code}
        case "download_export", {"token": str(text), **others} if (
            makes and not others and _is_safe(text) and crc32(text.encode()) % LEFT
        ):
            return {"token": makes["link"]()}
        case _:
            return body


def _is_code(others: Mapping[str, Any]) -> bool:
    """Tell whether there is nothing, or a code that would be read."""
    code = others.get("code")
    return not others.keys() - {"code"} and (
        code is None or (isinstance(code, str) and _is_safe(code))
    )


def after_call(
    _context: schemathesis.HookContext, case: AnyCase, response: schemathesis.Response
) -> None:
    """Remember the caller's own request for erasure: of other people's they learn nothing."""
    if response.status_code != HTTPStatus.CREATED:
        return
    match case.operation.definition.raw.get("operationId"):
        case "ask_for_erasure":
            things["request_id"].append(response.json()["request_id"])
        case "begin_second_factor":
            secret["begun"] = second_factor.read(response.json()["secret"])


def _level(body: Any) -> None:
    """Cut columns to one length: generated ones nearly never are, and nothing behind is seen."""
    columns = body.get("columns") if isinstance(body, Mapping) else None
    if not isinstance(columns, dict):
        return
    lists = [one for one in columns.values() if isinstance(one, list)]
    shortest = min(map(len, lists), default=0)
    if shortest and next(_numbers) % 8:
        for one in lists:
            del one[shortest:]


def filter_failure(
    _context: schemathesis.HookContext,
    failure: Failure,
    case: AnyCase,
    response: schemathesis.Response,
) -> bool:
    """Keep a failure, unless valid data were refused for a documented rule beyond the schema."""
    if not isinstance(failure, RejectedPositiveData):
        return True
    told = response.json()
    if told["code"] == "fields-invalid":
        return any(one["code"] not in UNSAYABLE for one in told["fields"])
    documented = case.operation.definition.raw["responses"].get(str(response.status_code), {})
    words = re.findall("[a-z-]+", documented.get("description", ""))
    return told["code"] not in words
