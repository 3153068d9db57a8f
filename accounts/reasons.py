"""Reasons that rows store, as people read them: stored in English, shown in the reader's language.

What an upstream said is quoted as it is. Whoever stores a new reason adds it here; `makemessages` collects them.
"""

from __future__ import annotations

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

SAID = " It said: "
"""Between our words and the upstream's own."""
BLOCKED = "blocked at the edge ("
KNOWN = frozenset(
    (
        _("usage limit reached"),
        _("5-hour limit reached"),
        _("daily limit reached"),
        _("weekly limit reached"),
        _("blocked on its path"),
        _("short rate limit"),
        _("blocked at the edge"),
        _("no access"),
        _("The upstream has banned this account."),
        _("The upstream forbids this account to be used."),
        _("The upstream asks for a payment."),
        _("The upstream ended this login."),
        _("The upstream answered with nothing three times within an hour."),
        _("The refresh token was already used, here or by another program; log in again."),
        _("The refresh token has expired; log in again."),
        _("The refresh token was revoked; log in again."),
        _("The session was ended; log in again."),
        _("The session has expired; log in again."),
        _("The account has been deactivated by OpenAI."),
        _("The account has been suspended by OpenAI."),
        _("The account has been deleted."),
        _(
            "The last refresh ended without an answer, so its refresh token may be used up; "
            "it is tried again when the access token expires. Log in again to be safe."
        ),
    )
)


def reason_words(stored: str) -> str:
    """Return a stored reason in the reader's language; what we did not write ourselves stays as it is."""
    ours, said, theirs = stored.partition(SAID)
    if said:
        quoted = gettext("It said: %(words)s") % {"words": theirs}
        return f"{reason_words(ours)} {quoted}"
    if stored.startswith(BLOCKED):
        what = gettext("blocked at the edge")
        return f"{what} {stored[len(BLOCKED) - 1 :]}"
    return gettext(stored) if stored in KNOWN else stored
