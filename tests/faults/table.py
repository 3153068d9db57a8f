"""The table of outcomes: every fault of the simulator, and what a client of every dialect gets for it.

`BEFORE` and `AFTER` say what happens: `served` is the whole answer, anything else a verdict. `VERDICTS` says how each
verdict looks in each dialect. Not here: F15 (upstream WebSocket), F19 (refresh), F20 (usage) and F21 (model lists)
never meet a request, F17 is what an answer says and not how it fails, F22 (egress) has a test of its own. Facts:
spec/translation.md §12, spec/operations.md §2.7-2.8, spec/wire.md §6, §13.3.
"""

from __future__ import annotations

from typing import NamedTuple

SERVED = "served"

BEFORE = """
fault | variants                                               | when          | once       | always

F1    | both at in none past                                   | start         | served     | quota
F2    | ms s seconds                                           | start         | served     | per_minute
F3    | capacity                                               | start         | served     | per_minute
F3    | usage_not_included                                     | start         | served     | no_plan
F4    | token_expired token_invalidated account_deactivated    | start         | served     | no_account
F4    | unauthorized unparsable                                | start         | served     | no_account
F4    | region                                                 | start         | served     | blocked
F5    | detail error                                           | start         | served     | no_account
F6    | challenge challenge_html_only blocked region           | start         | served     | blocked
F6    | ban account_suspended                                  | start         | served     | no_account
F7    | empty                                                  | start         | served     | blocked
F7    | json                                                   | start         | not_found  | not_found
F7    | model_not_found                                        | start         | served     | no_model
F8    | model_unsupported                                      | start         | served     | not_in_plan
F8    | invalid_encrypted_content                              | start         | served     | reasoning
F8    | unsupported_parameter version_gate missing_tool_output | start         | refused    | refused
F8    | missing_tool_call                                      | start         | refused    | refused
F8    | image                                                  | start         | bad_value  | bad_value
F8    | policy                                                 | start         | policy     | policy
F8    | invalid_prompt                                         | start         | bad_prompt | bad_prompt
F8    | previous_response_not_found                            | start         | lost       | lost
F8    | context_length                                         | start         | too_long   | too_long
F9    | 413                                                    | start         | too_large  | too_large
F9    | 415                                                    | start         | bad_media  | bad_media
F9    | 426                                                    | start         | upgrade    | upgrade
F9    | 500                                                    | start         | served     | failed
F9    | 502 504 520                                            | start         | served     | transport
F9    | 503                                                    | start         | served     | overloaded
F9    | 503_slow_down                                          | start         | served     | slow_down
F10   | server_is_overloaded                                   | start created | served     | overloaded
F10   | slow_down                                              | start created | served     | slow_down
F10   | server_error                                           | start created | served     | failed
F10   | rate_limit_exceeded                                    | start created | served     | per_minute
F10   | usage_limit_reached                                    | start created | served     | quota
F10   | subscription_sharing_usage_limit_exceeded              | start created | served     | quota_shared
F10   | insufficient_quota                                     | start created | served     | no_quota
F10   | usage_not_included                                     | start created | served     | no_plan
F10   | context_length_exceeded                                | start created | too_long   | too_long
F10   | invalid_prompt                                         | start created | bad_prompt | bad_prompt
F10   | cyber_policy                                           | start created | policy     | policy
F10   | bio_policy                                             | start created | bio        | bio
F10   | misalignment_policy_violation                          | start created | misaligned | misaligned
F10   | token_expired token_invalidated unauthorized           | start created | served     | no_account
F10   | account_deactivated                                    | start created | served     | no_account
F10   | forbidden                                              | start created | served     | no_account
F10   | previous_response_not_found                            | start created | lost       | lost
F10   | websocket_connection_limit_reached                     | start created | served     | transport
F10   | invalid_encrypted_content                              | start created | served     | reasoning
F10   | model_not_found                                        | start created | no_model   | no_model
F10   | something_new                                          | start created | unknown    | unknown
F11   | json_body                                              | start         | served     | protocol
F11   | empty_body                                             | start         | served     | cut
F11   | error_json                                             | start         | served     | failed
F12   | fin rst                                                | start created | served     | transport
F12   | clean_end                                              | start created | served     | cut
F13   | silence no_headers                                     | start         | silent     | silent
F13   | silence                                                | created       | silent     | silent
F13   | drip                                                   | start         | served     | served
F14   | crlf comments keepalive multiline no_event_name        | start         | served     | served
F14   | unknown_event                                          | start         | served     | served
F14   | huge bytewise no_final_blank done_marker               | start         | served     | served
F16   | no_usage null_details non_empty_output                 | start         | served     | served
F18   | missing malformed nan only_secondary extra_family      | start         | served     | served
F18   | weekly_primary                                         | start         | served     | served
F23   | exp_past reset_far                                     | start         | served     | served
F24   | max_age_zero                                           | start         | served     | served
F24   | cf_bm_replay                                           | start         | served     | served
"""
"""What comes before any output: the same for streams and for one body, because nothing has been sent yet.

once: on the first of three accounts, once; always: on all three, always.
"""

AFTER = """
fault | variants                                            | when      | stream     | once      | always

F10   | server_error                                        | text      | failed     | served    | failed
F10   | server_is_overloaded                                | text item | overloaded | served    | overloaded
F10   | slow_down                                           | text      | slow_down  | served    | slow_down
F10   | rate_limit_exceeded                                 | text      | per_minute | served    | per_minute
F10   | usage_limit_reached                                 | text item | quota      | served    | quota
F10   | insufficient_quota                                  | text      | no_quota   | served    | no_quota
F10   | usage_not_included                                  | text      | no_plan    | served    | no_plan
F10   | context_length_exceeded                             | text      | too_long   | too_long  | too_long
F10   | cyber_policy                                        | text      | policy     | policy    | policy
F10   | token_expired token_invalidated account_deactivated | text      | no_account | served    | no_account
F10   | forbidden                                           | text      | no_account | served    | no_account
F10   | previous_response_not_found                         | text      | lost       | lost      | lost
F10   | invalid_encrypted_content                           | text      | reasoning  | served    | reasoning
F10   | model_not_found                                     | text      | no_model   | no_model  | no_model
F10   | something_new                                       | text      | unknown    | unknown   | unknown
F12   | fin rst                                             | text item | transport  | transport | transport
F12   | mid_utf8 mid_event                                  | text      | transport  | transport | transport
F12   | clean_end                                           | text item | cut        | cut       | cut
F13   | silence                                             | text      | silent     | silent    | silent
"""
"""What comes after output. A stream is never replayed: it ends with the error, once or always.

One body has not left yet: what another account may answer is asked there, a cut is not (a cap would hit it as well).
"""

VERDICTS = """
verdict      | chat                                                    | responses                                                         | messages                  | gemini                                                           | ollama

quota        | 429 rate_limit_error rate_limit_exceeded                | 429 usage_limit_reached usage_limit_reached                       | 429 rate_limit_error      | 429 RESOURCE_EXHAUSTED USAGE_LIMIT_REACHED                       | 429
quota_shared | 429 rate_limit_error rate_limit_exceeded                | 429 usage_limit_reached subscription_sharing_usage_limit_exceeded | 429 rate_limit_error      | 429 RESOURCE_EXHAUSTED SUBSCRIPTION_SHARING_USAGE_LIMIT_EXCEEDED | 429
per_minute   | 429 rate_limit_error rate_limit_exceeded                | 429 rate_limit_error rate_limit_exceeded                          | 429 rate_limit_error      | 429 RESOURCE_EXHAUSTED RATE_LIMIT_EXCEEDED                       | 429
no_plan      | 429 rate_limit_error usage_not_included                 | 429 usage_not_included usage_not_included                         | 429 rate_limit_error      | 429 RESOURCE_EXHAUSTED USAGE_NOT_INCLUDED                        | 429
no_quota     | 429 rate_limit_error insufficient_quota                 | 429 insufficient_quota insufficient_quota                         | 429 rate_limit_error      | 429 RESOURCE_EXHAUSTED INSUFFICIENT_QUOTA                        | 429
no_account   | 503 server_error no_available_accounts                  | 503 server_error no_available_accounts                            | 529 overloaded_error      | 503 UNAVAILABLE NO_AVAILABLE_ACCOUNTS                            | 503
blocked      | 502 server_error upstream_blocked                       | 502 server_error upstream_blocked                                 | 502 api_error             | 502 INTERNAL UPSTREAM_BLOCKED                                    | 502
not_found    | 404 invalid_request_error invalid_request_error         | 404 invalid_request_error invalid_request_error                   | 404 not_found_error       | 404 NOT_FOUND INVALID_REQUEST_ERROR                              | 404
no_model     | 404 invalid_request_error model_not_found               | 404 invalid_request_error model_not_found                         | 404 not_found_error       | 404 NOT_FOUND MODEL_NOT_FOUND                                    | 404
not_in_plan  | 400 invalid_request_error model_not_found               | 400 invalid_request_error model_not_found                         | 404 not_found_error       | 404 NOT_FOUND MODEL_NOT_SUPPORTED                                | 400
reasoning    | 400 invalid_request_error invalid_encrypted_content     | 400 invalid_request_error invalid_encrypted_content               | 400 invalid_request_error | 400 INVALID_ARGUMENT INVALID_ENCRYPTED_CONTENT                   | 400
refused      | 400 invalid_request_error invalid_request_error         | 400 invalid_request_error invalid_request_error                   | 400 invalid_request_error | 400 INVALID_ARGUMENT INVALID_REQUEST_ERROR                       | 400
bad_value    | 400 invalid_request_error invalid_value                 | 400 invalid_request_error invalid_value                           | 400 invalid_request_error | 400 INVALID_ARGUMENT INVALID_VALUE                               | 400
policy       | 400 invalid_request_error cyber_policy                  | 400 invalid_request_error cyber_policy                            | 400 invalid_request_error | 400 INVALID_ARGUMENT CYBER_POLICY                                | 400
bio          | 400 invalid_request_error bio_policy                    | 400 invalid_request_error bio_policy                              | 400 invalid_request_error | 400 INVALID_ARGUMENT BIO_POLICY                                  | 400
misaligned   | 400 invalid_request_error misalignment_policy_violation | 400 invalid_request_error misalignment_policy_violation           | 400 invalid_request_error | 400 INVALID_ARGUMENT MISALIGNMENT_POLICY_VIOLATION               | 400
bad_prompt   | 400 invalid_request_error invalid_prompt                | 400 invalid_request_error invalid_prompt                          | 400 invalid_request_error | 400 INVALID_ARGUMENT INVALID_PROMPT                              | 400
lost         | 400 invalid_request_error previous_response_not_found   | 400 invalid_request_error previous_response_not_found             | 400 invalid_request_error | 400 INVALID_ARGUMENT PREVIOUS_RESPONSE_NOT_FOUND                 | 400
too_long     | 400 invalid_request_error context_length_exceeded       | 400 invalid_request_error context_length_exceeded                 | 400 invalid_request_error | 400 INVALID_ARGUMENT CONTEXT_LENGTH_EXCEEDED                     | 400
too_large    | 413 invalid_request_error context_too_large             | 413 invalid_request_error context_too_large                       | 413 request_too_large     | 413 INVALID_ARGUMENT CONTEXT_TOO_LARGE                           | 413
bad_media    | 415 invalid_request_error invalid_request_error         | 415 invalid_request_error invalid_request_error                   | 415 invalid_request_error | 415 INVALID_ARGUMENT INVALID_REQUEST_ERROR                       | 415
upgrade      | 426 invalid_request_error invalid_request_error         | 426 invalid_request_error invalid_request_error                   | 426 invalid_request_error | 426 INVALID_ARGUMENT INVALID_REQUEST_ERROR                       | 426
failed       | 500 server_error server_error                           | 500 server_error server_error                                     | 500 api_error             | 500 INTERNAL SERVER_ERROR                                        | 500
overloaded   | 503 server_error server_overloaded                      | 503 server_error server_is_overloaded                             | 529 overloaded_error      | 503 UNAVAILABLE SERVER_IS_OVERLOADED                             | 503
slow_down    | 503 server_error slow_down                              | 503 server_error slow_down                                        | 529 overloaded_error      | 503 UNAVAILABLE SLOW_DOWN                                        | 503
transport    | 502 server_error upstream_transport_error               | 502 server_error upstream_transport_error                         | 502 api_error             | 502 UNAVAILABLE UPSTREAM_TRANSPORT_ERROR                         | 502
protocol     | 502 server_error upstream_protocol_error                | 502 server_error upstream_protocol_error                          | 502 api_error             | 502 INTERNAL UPSTREAM_PROTOCOL_ERROR                             | 502
cut          | 504 server_error upstream_stream_truncated              | 504 server_error upstream_stream_truncated                        | 504 api_error             | 504 DEADLINE_EXCEEDED UPSTREAM_STREAM_TRUNCATED                  | 504
silent       | 504 server_error upstream_timeout                       | 504 server_error upstream_timeout                                 | 504 timeout_error         | 504 DEADLINE_EXCEEDED UPSTREAM_TIMEOUT                           | 504
unknown      | 502 server_error something_new                          | 502 server_error something_new                                    | 502 api_error             | 502 INTERNAL SOMETHING_NEW                                       | 502
"""  # noqa: E501
"""How a verdict is told: status, type (Gemini: word) and code (Gemini: reason) where the dialect has them."""


class Told(NamedTuple):
    """One cell of `VERDICTS`."""

    status: int
    type: str
    code: str


class Row(NamedTuple):
    """One line of `BEFORE` or `AFTER`; `stream` is empty before output, where it does not differ."""

    fault: str
    variants: tuple[str, ...]
    when: tuple[str, ...]
    stream: str
    once: str
    always: str

    @property
    def name(self) -> str:
        """How a test of this row is called."""
        return f"{self.fault}-{'+'.join(self.variants)[:60]}-{'+'.join(self.when)}"


def _cells(table: str) -> list[list[str]]:
    lines = [line for line in table.splitlines() if line.strip()]
    return [[cell.strip() for cell in line.split("|")] for line in lines]


def rows(table: str) -> list[Row]:
    """Read `BEFORE` or `AFTER`."""
    found: list[Row] = []
    for cells in _cells(table)[1:]:
        fault, variants, when, *outcomes = cells
        stream = outcomes[0] if len(outcomes) == 3 else ""
        found.append(Row(fault, tuple(variants.split()), tuple(when.split()), stream, outcomes[-2], outcomes[-1]))
    return found


def _told(cell: str) -> Told:
    status, *words = cell.split()
    kind, code = [*words, "", ""][:2]
    return Told(int(status), kind, code)


def verdicts() -> dict[str, dict[str, Told]]:
    """Read `VERDICTS`: by verdict, then by dialect."""
    (_, *dialects), *lines = _cells(VERDICTS)
    return {name: dict(zip(dialects, map(_told, cells), strict=True)) for name, *cells in lines}
