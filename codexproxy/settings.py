"""Django's settings, in Django's order. Everything has a default that works; mistakes are found by `checks.py`."""

from __future__ import annotations

import sys

from codexproxy.dashboard.theme import UNFOLD  # noqa: F401 -- a setting
from codexproxy.env import BASE_DIR, data_dir, database, env
from codexproxy.logs import logging_config
from codexproxy.secrets import read_or_create_secret

DATA_DIR = data_dir()

# ---- Core ----------------------------------------------------------------------------------------------------------
SECRET_KEY = env.str("SECRET_KEY", default="") or read_or_create_secret(DATA_DIR / "secret_key")
ENCRYPTION_KEYS = env.list("ENCRYPTION_KEYS", default=[]) or [read_or_create_secret(DATA_DIR / "encryption_key")]
DEBUG = env.bool("DEBUG", default=False)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["*"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
ROOT_URLCONF = "codexproxy.urls"
ASGI_APPLICATION = "codexproxy.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    # Daphne makes `runserver` stream. Only there: it would cost every other process 23 MB and 0.3 s.
    *(["daphne"] if sys.argv[1:2] == ["runserver"] else []),
    "unfold.apps.BasicAppConfig",  # "Basic": the default one would replace OperatorSite
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "codexproxy.dashboard.apps.DashboardAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_celery_beat",
    "ninja",
    "channels",
    "codexproxy",
    "accounts",
    "providers",
    "proxypool",
    "stats",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "codexproxy.dashboard.headers.security_headers",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
            "libraries": {"dashboard": "codexproxy.dashboard.templatetags.dashboard"},
        },
    },
]

DATA_UPLOAD_MAX_MEMORY_SIZE = 5_000_000  # a pasted import of a thousand accounts; protocol routes have their own limit

# ---- Data ----------------------------------------------------------------------------------------------------------
DATABASES = {"default": database(str(DATA_DIR / "codexproxy.sqlite3"))}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;",
    }
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3" and "psycopg" not in sys.modules:
    # unfold imports PostgreSQL's fields to theme them, and they import the driver: 9 MB in every process for nothing.
    # None makes that import fail, as documented, which unfold takes as "not installed".
    sys.modules["psycopg"] = None  # type: ignore[assignment]
REDIS_URL = env.str("REDIS_URL", default="")
REDIS_PREFIX = env.str("REDIS_PREFIX", default="codexproxy")  # deployments that share one Redis need different ones
GATEWAY_NUMBER = env.int("CODEXPROXY_GATEWAY_NUMBER", default=0)  # set by `serve`: which of its processes this is
USAGE_RETENTION_DAYS = env.int("USAGE_RETENTION_DAYS", default=90)

# ---- People --------------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
LOGIN_URL = "admin:login"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
LANGUAGE_COOKIE_SAMESITE = "Lax"
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

# ---- Language and time ---------------------------------------------------------------------------------------------
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("zh-hans", "简体中文")]
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = env.str("TZ", default="UTC")
USE_I18N = True
USE_TZ = True

# ---- Static files --------------------------------------------------------------------------------------------------
STATIC_URL = "/static/"
STATIC_ROOT = None
STATICFILES_DIRS = [BASE_DIR / "codexproxy" / "dashboard" / "static"]
WHITENOISE_USE_FINDERS = True  # found where they lie: there is no collect step to forget
WHITENOISE_AUTOREFRESH = DEBUG

# ---- Celery --------------------------------------------------------------------------------------------------------
CELERY_BROKER_URL = REDIS_URL or "filesystem://localhost"
CELERY_BROKER_TRANSPORT_OPTIONS = (
    {"visibility_timeout": 3600, "global_keyprefix": f"{REDIS_PREFIX}:celery:"}
    if REDIS_URL
    else {
        "data_folder_in": str(DATA_DIR / "queue"),
        "data_folder_out": str(DATA_DIR / "queue"),
        "control_folder": str(DATA_DIR / "queue-control"),
    }
)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TASK_IGNORE_RESULT = True
CELERY_RESULT_EXPIRES = None  # there are no results, so nothing to clean up every night
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TIMEZONE = TIME_ZONE
CELERY_BEAT_SCHEDULER = (
    "codexproxy.serving.beat:SoleScheduler" if REDIS_URL else "django_celery_beat.schedulers:DatabaseScheduler"
)
CELERY_BEAT_SCHEDULE = {
    "refresh-due-tokens": {"task": "codexproxy.refresh_due_tokens", "schedule": 60, "options": {"expires": 55}},
    "check-quota": {"task": "codexproxy.check_quota", "schedule": 60, "options": {"expires": 55}},
    "sample-quota": {"task": "accounts.sample_quota", "schedule": 600, "options": {"expires": 590}},
    "prune-usage": {"task": "stats.prune", "schedule": 3600, "options": {"expires": 3500}},
}

# ---- Upstreams -----------------------------------------------------------------------------------------------------
CODEX_BASE_URL = env.str("CODEX_BASE_URL", default="https://chatgpt.com/backend-api").rstrip("/")
OPENAI_AUTH_URL = env.str("OPENAI_AUTH_URL", default="https://auth.openai.com").rstrip("/")
IP_ECHO_URL = env.str("IP_ECHO_URL", default="https://api.ipify.org?format=json")
CLIENT_FEED_URL = env.str("CLIENT_FEED_URL", default="https://persistent.oaistatic.com/codex-app-prod/appcast.xml")

# ---- Logs ----------------------------------------------------------------------------------------------------------
LOG_LEVEL = env.str("LOG_LEVEL", default="INFO").upper()
LOGGING = logging_config(LOG_LEVEL, env.str("LOG_FORMAT", default="auto"))
