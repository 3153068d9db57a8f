"""The forms of this app's pages. They check what a person typed; services do the work."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from accounts.importing import MAX_LABEL_CHARS, ImportDocument, parse_import
from accounts.models import Account, ApiKey
from accounts.services import AccountsError
from accounts.services.pools import pool_labels

if TYPE_CHECKING:
    _ApiKeyModelForm = forms.ModelForm[ApiKey]
    _AccountModelForm = forms.ModelForm[Account]
else:  # Django's own class takes no type argument
    _ApiKeyModelForm = _AccountModelForm = forms.ModelForm

MAX_PASTE_CHARS = 4_000_000


class SecretTextarea(UnfoldAdminTextareaWidget):  # type: ignore[misc]  # unfold ships no types
    """A text area that never echoes what was typed into it, also when the form comes back with errors."""

    def format_value(self, value: Any) -> str | None:
        """Return nothing to show."""
        return None


class PasteForm(forms.Form):
    """Logins as text, in any format that `importing.py` reads. The text is never shown again."""

    text = forms.CharField(
        label=_("Tokens or file content"),
        max_length=MAX_PASTE_CHARS,
        widget=SecretTextarea(attrs={"rows": 10, "autocomplete": "off", "spellcheck": "false"}),
        help_text=_(
            "An access token, a refresh token (rt_…), the content of ~/.codex/auth.json, or an export of this or "
            "another gateway. One token per line adds several accounts. A refresh token alone is exchanged at once."
        ),
    )
    label = forms.CharField(
        label=_("Label"),
        max_length=MAX_LABEL_CHARS,
        required=False,
        widget=UnfoldAdminTextInputWidget(),
        help_text=_("A name for the account, if you add only one."),
    )

    def clean_text(self) -> ImportDocument:
        """Return the parsed document; refuse a text without any login in it."""
        document = parse_import(self.cleaned_data["text"])
        if not document.entries:
            raise forms.ValidationError([str(problem) for problem in document.problems])
        return document


class LinesField(forms.CharField):
    """A list of short texts, one per line, stored as a JSON list."""

    def prepare_value(self, value: Any) -> Any:
        """Show a list as lines."""
        return "\n".join(str(item) for item in value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        """Return the lines without blanks and repetitions."""
        text = value if isinstance(value, str) else ""
        lines = (part.strip() for part in text.replace(",", "\n").splitlines())
        return list(dict.fromkeys(line for line in lines if line))

    def validate(self, value: Any) -> None:
        """An empty list is fine: it means every model."""

    def run_validators(self, value: Any) -> None:
        """Validators of text do not apply to a list."""

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare the lists."""
        return bool(self.to_python(data) != list(initial or ()))


class ApiKeyForm(_ApiKeyModelForm):
    """What a key may do."""

    allowed_models = LinesField(
        label=_("Allowed models"),
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text=_("One model name per line. Empty means every model."),
    )

    class Meta:
        model = ApiKey
        fields = ("user", "name", "is_admin", "allowed_models", "pool", "expires_at", "max_concurrency")
        help_texts: ClassVar = {"pool": _("Only accounts that carry this label are used. Empty means every account.")}

    def clean_pool(self) -> str:
        """Spell the label as accounts carry it."""
        return "".join(_labels(filter(None, [self.cleaned_data["pool"]])))


class AccountForm(_AccountModelForm):
    """What an operator may change of an account."""

    pools = LinesField(
        label=_("Pools"),
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text=_("One label per line. API keys can be restricted to the accounts of one label."),
    )

    class Meta:
        model = Account
        fields = ("label", "max_concurrency", "pools")
        help_texts: ClassVar = {"max_concurrency": _("Empty means as many as the settings say.")}

    def clean_pools(self) -> list[str]:
        """Spell the labels as keys name them."""
        return _labels(self.cleaned_data["pools"])


def _labels(texts: Iterable[str]) -> list[str]:
    try:
        return pool_labels(texts)
    except AccountsError as error:
        raise forms.ValidationError(str(error)) from error
