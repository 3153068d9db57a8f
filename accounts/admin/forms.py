"""The forms of this app's pages. They check what a person typed; services do the work."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from accounts.importing import MAX_CHARS, MAX_LABEL_CHARS, parse_import
from accounts.models import Account, ApiKey
from accounts.services import AccountsError
from accounts.services.pools import pool_labels
from providers.oauth.codex import MAX_CALLBACK_CHARS, REDIRECT_URI

if TYPE_CHECKING:
    _ApiKeyModelForm = forms.ModelForm[ApiKey]
    _AccountModelForm = forms.ModelForm[Account]
else:  # Django's own class takes no type argument
    _ApiKeyModelForm = _AccountModelForm = forms.ModelForm


class SecretTextarea(UnfoldAdminTextareaWidget):  # type: ignore[misc]  # unfold ships no types
    """A text area that never echoes what was typed into it, also when the form comes back with errors."""

    def format_value(self, value: Any) -> str | None:
        """Return nothing to show."""
        return None


def _label_field() -> forms.CharField:
    return forms.CharField(
        label=_("Label"),
        max_length=MAX_LABEL_CHARS,
        required=False,
        widget=UnfoldAdminTextInputWidget({"autocomplete": "off"}),
        help_text=_("A name for the account; without one, its e-mail is shown."),
    )


class LabelForm(forms.Form):
    """What a log-in needs to know before it begins: nothing but a name."""

    label = _label_field()


class CallbackForm(forms.Form):
    """The address the browser was sent back to. It holds a code, so it is never shown again."""

    callback_url = forms.CharField(
        label=_("Address of the last page"),
        max_length=MAX_CALLBACK_CHARS,
        widget=SecretTextarea(
            attrs={"rows": 3, "autocomplete": "off", "spellcheck": "false", "placeholder": f"{REDIRECT_URI}?code=…"}
        ),
    )


class PasteForm(forms.Form):
    """Logins as text or as a file, in any format that `importing.py` reads. The text is never shown again."""

    text = forms.CharField(
        label=_("Tokens or file content"),
        required=False,
        max_length=MAX_CHARS,
        widget=SecretTextarea(attrs={"rows": 8, "autocomplete": "off", "spellcheck": "false"}),
        help_text=_("One token per line adds several accounts. A refresh token alone is exchanged at once."),
    )
    file = forms.FileField(
        label=_("Or a file"),
        required=False,
        max_length=255,
        widget=UnfoldAdminFileFieldWidget(attrs={"accept": ".json,.jsonl,.txt,application/json,text/plain"}),
        help_text=_("auth.json of the Codex CLI (in ~/.codex), or an export of this or another gateway."),
    )
    label = _label_field()

    def clean(self) -> dict[str, Any]:
        """Add `document`, the parsed logins; refuse what holds none."""
        cleaned = super().clean() or {}
        upload = cleaned.get("file")
        text = cleaned.get("text") or ""
        if upload is not None:
            text = upload.read(MAX_CHARS * 4).decode("utf-8-sig", "replace")
        if not text.strip():
            raise forms.ValidationError(_("Paste something, or choose a file."))
        document = parse_import(text)
        if not document.entries:
            raise forms.ValidationError([str(problem) for problem in document.problems])
        cleaned["document"] = document
        return cleaned


class ExportForm(forms.Form):
    """In which shape, and the password again: the file holds live tokens."""

    format = forms.ChoiceField(
        label=_("Format"),
        choices=[
            ("full", _("Full: everything, for another Codex Proxy")),
            ("minimal", _("Minimal: refresh tokens and labels only")),
            ("cockpit_tools", _("Cockpit Tools: a list of Codex logins")),
            ("cpa", _("CLI Proxy API: Codex logins, a bare object for one")),
            ("sub2api", _("Sub2API: accounts of its own kind")),
        ],
        initial="full",
        widget=UnfoldAdminRadioSelectWidget(),
    )
    password = forms.CharField(
        label=_("Your password"),
        max_length=1000,
        strip=False,
        widget=UnfoldAdminPasswordWidget({"autocomplete": "current-password"}),
        help_text=_("Whoever has the file can use the accounts, so this asks again who you are."),
    )


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
