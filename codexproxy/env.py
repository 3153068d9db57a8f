"""Reads the environment once, with types; secrets may come from files (`NAME_FILE`). Never imports Django settings.

All variables are optional. The set-up of one machine is `CODEXPROXY_DATA_DIR` and nothing else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured


class Environment(environ.FileAwareEnv):
    """Reads `NAME_FILE` when set: secrets as Docker or systemd give them. Empty is unset, as compose passes it."""

    def get_value(self, var: str, *args: Any, **kwargs: Any) -> Any:
        """Return the typed value of `var`, or its default when it is unset or empty."""
        if "default" in kwargs and super().get_value(var, default="") == "":
            return kwargs["default"]
        return super().get_value(var, *args, **kwargs)


env = Environment()

BASE_DIR = Path(__file__).resolve().parent.parent


def data_dir() -> Path:
    """Return the folder for the database, secrets and queues, created with owner-only rights."""
    path = Path(env.str("CODEXPROXY_DATA_DIR", default=str(BASE_DIR / "data"))).expanduser().resolve()
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


DATABASE_ENGINES = ("django.db.backends.sqlite3", "django.db.backends.postgresql")


def database(default: str) -> dict[str, Any]:
    """Return Django's configuration of the database in `DATABASE_URL`, else of the SQLite file `default`.

    A database that is not supported becomes Django's dummy one, so that everything loads and `checks.py` can say so.
    """
    try:
        config: dict[str, Any] = dict(env.db_url_config(env.str("DATABASE_URL", default=f"sqlite:///{default}")))
    except (ImproperlyConfigured, ValueError):
        config = {}
    if config.get("ENGINE") not in DATABASE_ENGINES:
        return {"ENGINE": "django.db.backends.dummy"}
    return config
