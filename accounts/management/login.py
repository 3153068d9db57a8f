"""The log-in of `codexproxy account login`: shows where to go, and waits. People read stderr, programs stdout.

In a browser: the callback arrives on localhost:1455, or its address is pasted here. With a device: a code is typed
elsewhere and the server is asked until it says yes.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Callable

from django.core.management.base import CommandError
from django.utils import timezone

from accounts import services
from accounts.callback_listener import CallbackListener
from accounts.models import PendingLogin
from accounts.services import AccountsError
from providers.oauth.client import OAuthClient

TICK_S = 0.3
Say = Callable[[str], object]


def log_in_with_browser(*, actor: str, label: str, with_listener: bool, say: Say) -> PendingLogin:
    """Return the finished log-in. Raises: CommandError, AccountsError."""
    started = services.browser_login_start(actor=actor, label=label)
    listens = CallbackListener().open() if with_listener else False
    say(f"Open this address in a browser and log in:\n\n{started.auth_url}\n")
    if listens:
        say("This command ends by itself when you are logged in. If the last page does not load, then")
    else:
        say("The last page will not load; that is expected. Then")
    say("copy its address (http://localhost:1455/auth/callback?…) and paste it here:")
    pasted = _lines_of_stdin()
    with OAuthClient() as send:
        while (row := _reread(started.row)).outcome == PendingLogin.Outcome.PENDING:
            if row.expires_at <= timezone.now():
                raise CommandError("Nobody logged in within five minutes; start again.")
            try:
                line = pasted.get(timeout=TICK_S)
            except queue.Empty:
                continue
            try:
                services.browser_login_finish(callback_url=line, send=send)
            except AccountsError as error:
                say(f"{error} Paste the address again:")
    return _ended(row)


def log_in_with_device(*, actor: str, label: str, say: Say) -> PendingLogin:
    """Return the finished log-in. Raises: CommandError, AccountsError."""
    with OAuthClient() as send:
        row = services.device_login_start(actor=actor, send=send, label=label)
        minutes = round((row.expires_at - timezone.now()).total_seconds() / 60)
        say(f"Open {row.verification_url} on any device and type the code\n\n    {row.user_code}\n")
        say(f"Waiting for you; the code is good for {minutes} minutes.")
        while row.outcome == PendingLogin.Outcome.PENDING:
            time.sleep(TICK_S)
            row = services.device_login_poll(login_id=row.pk, send=send)
    return _ended(row)


def _ended(row: PendingLogin) -> PendingLogin:
    if row.outcome == PendingLogin.Outcome.FAILED or row.account is None:
        raise CommandError(row.message or "The log-in ended without an account.")
    return row


def _reread(row: PendingLogin) -> PendingLogin:
    found = PendingLogin.objects.select_related("account").filter(pk=row.pk).first()
    if found is None:
        raise CommandError("The log-in was cancelled.")
    return found


def _lines_of_stdin() -> queue.Queue[str]:
    """Read in a thread: waiting for a line must not keep us from noticing the callback."""
    lines: queue.Queue[str] = queue.Queue(maxsize=10)

    def read() -> None:
        for line in sys.stdin:
            if line.strip():
                lines.put(line.strip())

    threading.Thread(target=read, name="pasted addresses", daemon=True).start()
    return lines
