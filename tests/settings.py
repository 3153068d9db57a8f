"""The project's settings for tests: a data folder of their own, fast password hashes, other databases when asked.

`TEST_DATABASE_URL` and `TEST_REDIS_URL` run the same suite on PostgreSQL and Redis. Loaded by pytest-django before any
conftest, so the environment of the product is cleared here.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

_FOLDER = tempfile.mkdtemp(prefix="codexproxy-tests-")
atexit.register(shutil.rmtree, _FOLDER, ignore_errors=True)

for _name in ("SECRET_KEY", "ENCRYPTION_KEYS", "DEBUG", "CODEX_BASE_URL", "OPENAI_AUTH_URL", "HOST", "PORT"):
    os.environ.pop(_name, None)
os.environ["CODEXPROXY_DATA_DIR"] = _FOLDER
os.environ["DATABASE_URL"] = os.environ.get("TEST_DATABASE_URL", "")
os.environ["REDIS_URL"] = os.environ.get("TEST_REDIS_URL", "")
os.environ["LOG_FORMAT"] = "json"

from codexproxy.settings import *  # noqa: E402, F403  (only now: it reads the environment)
from codexproxy.settings import DATABASES  # noqa: E402

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
CELERY_TASK_ALWAYS_EAGER = True

if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # A file: threads and processes that tests start see the same rows, as in production.
    DATABASES["default"]["TEST"] = {"NAME": str(Path(_FOLDER) / "test.sqlite3")}
