"""All settings, and the only reader of the environment. `docs/settings.md` explains each."""

from __future__ import annotations

import secrets
from base64 import b64encode
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.templatetags.static import static
from django.utils.translation import gettext_lazy

from access import shared_files
from clawdbot_site import databases, env, logs, objects, oidc, telemetry
from tenants.token_keys import TokenKeys

BASE_DIR = Path(__file__).resolve().parent.parent
VERSION = "0.1.0"
VAR_DIR = Path(env.text("VAR_DIR") or BASE_DIR / "var").resolve()

DEBUG = env.flag("DEBUG", False)
SECRET_KEY = env.secret("SECRET_KEY", VAR_DIR / "secret_key", lambda: secrets.token_urlsafe(64))
SECRET_KEY_FALLBACKS = env.words("SECRET_KEY_FALLBACKS")
JWT_KEYS = TokenKeys(
    env.words("JWT_KEY") or [SECRET_KEY, *SECRET_KEY_FALLBACKS], env.file_of("JWT_KEY"), own=bool(env.text("JWT_KEY"))
)
MASTER_KEY = env.secret("MASTER_KEY", VAR_DIR / "master_key", lambda: secrets.token_urlsafe(32))
MASTER_KEY_FILE = env.secret_file("MASTER_KEY", VAR_DIR / "master_key")  # read again when it is needed
SIGNING_KEY = env.secret("SIGNING_KEY", VAR_DIR / "signing_key", lambda: b64encode(secrets.token_bytes(32)).decode())
SIGNING_RETIRED_KEYS = env.words("SIGNING_RETIRED_KEYS")

# The server -------------------------------------------------------------------------------------------------------
HOST = env.text("HOST", "127.0.0.1")
PORT = env.whole("PORT", 8000, low=1, high=65535)
GRPC_HOST = env.text("GRPC_HOST", HOST)
GRPC_PORT = env.whole("GRPC_PORT", 0, low=0, high=65535) if env.text("GRPC_PORT") else None  # 0: off
GRPC_SERVER = env.choice("GRPC_SERVER", "direct", ("direct", "grpcio"))
GRPC_WORKERS = env.whole("GRPC_WORKERS", 1, low=1, high=64)
GRPC_CONNECTIONS = env.whole("GRPC_CONNECTIONS", 5000, low=16)
GRPC_CERT = env.text("GRPC_CERT")
GRPC_KEY = env.text("GRPC_KEY")
WORKERS = env.whole("WORKERS", 1, low=1, high=64)
CONNECTIONS = env.whole("CONNECTIONS", 20_000, low=16)
MAX_TURNS = env.whole("MAX_TURNS", 2000, low=1)
MAX_WAIT = env.seconds("MAX_WAIT", 10)
MAX_WAITING = env.whole("MAX_WAITING", 1000, low=0)
STREAM_KEEPALIVE = env.seconds("STREAM_KEEPALIVE", 15)
DRAIN_DELAY = env.seconds("DRAIN_DELAY", 5)
DRAIN_TIMEOUT = env.seconds("DRAIN_TIMEOUT", 75)
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", "*" if DEBUG else "localhost,127.0.0.1,[::1]") + [HOST]
CSRF_TRUSTED_ORIGINS = env.words("CSRF_TRUSTED_ORIGINS")
CORS_ORIGINS = env.origins("CORS_ORIGINS")
TRUSTED_PROXIES = env.words("TRUSTED_PROXIES")
METRICS_TOKEN = env.text("METRICS_TOKEN")
METRICS_PORT = env.whole("METRICS_PORT", 0, low=0, high=65535)  # of processes that serve no HTTP otherwise
METRICS_TENANTS = env.whole("METRICS_TENANTS", 200, low=0, high=10_000)
METRICS_NAMES = env.whole("METRICS_NAMES", 200, low=0, high=10_000)
LOG_LEVEL = env.choice("LOG_LEVEL", "INFO", ("debug", "info", "warning", "error")).upper()
LOG_FORMAT = env.choice("LOG_FORMAT", "text", ("text", "json"))
ACCESS_LOG = env.flag("ACCESS_LOG", False)
PUBLIC_URL = env.url("PUBLIC_URL") or f"http://{HOST}:{PORT}"  # of links in mails
HTTPS = PUBLIC_URL.startswith("https://")
CSRF_TRUSTED_ORIGINS += ["/".join(PUBLIC_URL.split("/", 3)[:3])] if HTTPS else []  # as browsers write it

# Mail -------------------------------------------------------------------------------------------------------------
EMAIL_HOST = env.text("EMAIL_HOST")
EMAIL_PORT = env.whole("EMAIL_PORT", 25, low=1, high=65535)
EMAIL_HOST_USER = env.text("EMAIL_HOST_USER")
EMAIL_HOST_PASSWORD = env.text("EMAIL_HOST_PASSWORD")
EMAIL_USE_TLS = env.flag("EMAIL_USE_TLS", False)
EMAIL_USE_SSL = env.flag("EMAIL_USE_SSL", False)
EMAIL_TIMEOUT = 15
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.text("DEFAULT_FROM_EMAIL", "clawdbot@localhost")
EMAIL_BACKEND = f"django.core.mail.backends.{'smtp' if EMAIL_HOST else 'console'}.EmailBackend"

# People -----------------------------------------------------------------------------------------------------------
INVITATION_DAYS = env.whole("INVITATION_DAYS", 7, low=1, high=90)
REQUIRE_MFA = env.choice("REQUIRE_MFA", "nobody", ("nobody", "operators", "everybody"))
SIGN_IN_ATTEMPTS = env.whole("SIGN_IN_ATTEMPTS", 5, low=1, high=1000)  # of one account
SIGN_IN_ADDRESS_ATTEMPTS = env.whole("SIGN_IN_ADDRESS_ATTEMPTS", 50, low=1, high=100_000)  # from one address
SIGN_IN_LOCK_SECONDS = env.whole("SIGN_IN_LOCK_SECONDS", 900, low=1, high=86_400)
SIGN_UP = env.flag("SIGN_UP", False)
SIGN_UP_REQUESTS_PER_MINUTE = env.whole("SIGN_UP_REQUESTS_PER_MINUTE", 60, low=0)
SIGN_UP_TOKENS_PER_MINUTE = env.whole("SIGN_UP_TOKENS_PER_MINUTE", 100_000, low=0)
SIGN_UP_CONCURRENT_TURNS = env.whole("SIGN_UP_CONCURRENT_TURNS", 5, low=0)
OFFBOARDING_DAYS = env.whole("OFFBOARDING_DAYS", 14, low=0, high=365)
OIDC_ISSUER = env.text("OIDC_ISSUER")
OIDC_CLIENT_ID = env.text("OIDC_CLIENT_ID")
OIDC_CLIENT_SECRET = env.text("OIDC_CLIENT_SECRET")
OIDC_NAME = env.text("OIDC_NAME", "OpenID Connect")
OIDC_PRIVATE = env.flag("OIDC_PRIVATE", False)

# The model behind the seed's settings ------------------------------------------------------------------------------
MODEL_ENDPOINT = env.text("MODEL_ENDPOINT")
MODEL_NAME = env.text("MODEL_NAME")
API_KEY = env.text("API_KEY")
MODEL_TIMEOUT = env.seconds("MODEL_TIMEOUT", 30)
LOCAL_MODEL = env.flag("LOCAL_MODEL", True)
HTTP_CLIENT = env.choice("HTTP_CLIENT", "direct", ("direct", "aiohttp"))
SESSION_TTL = env.whole("SESSION_TTL", 3600, low=1)
SESSION_RETENTION_DAYS = env.whole("SESSION_RETENTION_DAYS", 0, low=0)
SUMMARY_PERCENT = env.whole("SUMMARY_PERCENT", 50, low=1, high=95)
SNAPSHOT_EVERY = env.whole("SNAPSHOT_EVERY", 20, low=0)
RESUME_GRACE = env.whole("RESUME_GRACE", 60, low=0, high=3600)

# Stores -----------------------------------------------------------------------------------------------------------
REDIS_HOST = env.text("REDIS_HOST")
VALKEY_SOCKET = databases.socket_path(VAR_DIR)
VALKEY_NODES = databases.valkey("REDIS_HOST", REDIS_HOST, env.text("REDIS_PASSWORD"), VALKEY_SOCKET)
VALKEY_DATABASES = env.whole("VALKEY_DATABASES", 1024, low=32)
STORE_LAYOUT = env.choice("STORE_LAYOUT", "database", ("database", "prefix"))
FIRST_TENANT_DATABASE = 16  # 0 counters and limits, 1 broker, 2 channels, 3 Django's cache; the rest is kept free
BROKER_URL = databases.broker(env.text("BROKER_URL") or databases.numbered(VALKEY_NODES[0], 1))
CHANNEL_URL = env.text("CHANNEL_URL") or databases.numbered(VALKEY_NODES[0], 2)
CACHE_URL = env.text("CACHE_URL") or databases.numbered(VALKEY_NODES[0], 3)

DATABASES = {
    "default": databases.sql("DATABASE_URL", env.text("DATABASE_URL") or f"sqlite:///{VAR_DIR}/db.sqlite3"),
    "journal": databases.sql("JOURNAL_URL", env.text("JOURNAL_URL") or f"sqlite:///{VAR_DIR}/journal/journal.sqlite3"),
}
JOURNAL_WRITER_URL = env.text("JOURNAL_WRITER_URL")
JOURNAL_WRITER = databases.sql("JOURNAL_WRITER_URL", JOURNAL_WRITER_URL) if JOURNAL_WRITER_URL else None
JOURNAL_SPOOL = env.text("JOURNAL_SPOOL")
JOURNAL_SPOOL_MB = env.whole("JOURNAL_SPOOL_MB", 1024, low=1)
MIGRATE_LOCK_TIMEOUT = env.seconds("MIGRATE_LOCK_TIMEOUT", 2)
MIGRATE_PATIENCE = env.seconds("MIGRATE_PATIENCE", 300)
DATABASE_ROUTERS = ["compliance.database.JournalRouter"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

STORAGES = {
    "default": objects.storage(
        env.text("OBJECT_STORE_URL"),
        VAR_DIR / "objects",
        endpoint=env.text("OBJECT_STORE_ENDPOINT"),
        region=env.text("OBJECT_STORE_REGION"),
        access_key=env.text("OBJECT_STORE_ACCESS_KEY"),
        secret_key=env.text("OBJECT_STORE_SECRET_KEY"),
    ),
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
CACHES = {"default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": CACHE_URL}}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [{"address": CHANNEL_URL}]},
    }
}
SESSION_ENGINE = "django.contrib.sessions.backends.cache"

# The journal ------------------------------------------------------------------------------------------------------
CHECKPOINT_SECONDS = env.whole("CHECKPOINT_SECONDS", 60, low=1)
JOURNAL_RETENTION_DAYS = env.whole("JOURNAL_RETENTION_DAYS", 0, low=0)

# Background work --------------------------------------------------------------------------------------------------
CELERY_BROKER_URL = BROKER_URL
JOB_REDO_SECONDS = env.whole("JOB_REDO_SECONDS", 3600, low=1)
# Only Valkey has to be told when to take a worker for dead; others see its connection end.
CELERY_BROKER_TRANSPORT_OPTIONS = (
    {"visibility_timeout": JOB_REDO_SECONDS, "unacked_restore_interval": 5, "unacked_restore_throttle": 1}
    if BROKER_URL.startswith(("redis", "valkey"))
    else {}
)
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TIMEZONE = "UTC"
JOB_RETENTION_DAYS = env.whole("JOB_RETENTION_DAYS", 30, low=1)
INSIGHTS_DAYS = env.whole("INSIGHTS_DAYS", 400, low=1)
INSIGHTS_QUESTION_DAYS = env.whole("INSIGHTS_QUESTION_DAYS", 30, low=1)
INSIGHTS_ASKERS = env.whole("INSIGHTS_ASKERS", 1, low=1, high=16)
BACKUP_TO = env.text("BACKUP_TO", str(VAR_DIR / "backups"))
BACKUP_KEEP = env.whole("BACKUP_KEEP", 7, low=0)

# Django -----------------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "clawdbot_site",  # before staticfiles: its runserver, daphne's, is the development server
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin.apps.SimpleAdminConfig",  # both consoles are sites of their own (`clawdbot_site/urls.py`)
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "channels",
    "tenants",
    "routing",
    "sessions_app",
    "plugins",
    "compliance",
    "access",  # before allauth: its templates are in our dress
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
]
MIDDLEWARE = [
    "access.secure_pages.secure_pages",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "access.console.acting.acting",
    "allauth.account.middleware.AccountMiddleware",
    "access.people.demands.demands",
]
ROOT_URLCONF = "clawdbot_site.urls"
APPEND_SLASH = False
ASGI_APPLICATION = "clawdbot_site.asgi.application"
AUTH_USER_MODEL = "tenants.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "access" / "templates"],  # ahead of django-unfold's, whose frame the consoles add to
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("zh-hans", "简体中文")]
FORMAT_MODULE_PATH = ["access.console.formats"]
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True  # straight from the packages: nothing to collect before the first start
WHITENOISE_MAX_AGE = 3600
WHITENOISE_ADD_HEADERS_FUNCTION = shared_files.mark
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = LANGUAGE_COOKIE_SECURE = HTTPS
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = LANGUAGE_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_NAME = f"{'__Host-' if HTTPS else ''}sessionid"  # browsers take it from no other host, nor over HTTP
CSRF_COOKIE_NAME = f"{'__Host-' if HTTPS else ''}csrftoken"
CSRF_COOKIE_HTTPONLY = True  # pages have the token in themselves
CSRF_FAILURE_VIEW = "clawdbot_site.urls.csrf_failure"
SECURE_HSTS_SECONDS = env.whole("HSTS_SECONDS", 31_536_000 if HTTPS else 0, low=0)
SECURE_HSTS_INCLUDE_SUBDOMAINS = env.flag("HSTS_SUBDOMAINS", False)
# Who came to a proxy over plain HTTP is sent on by access.secure_pages: only that proxy knows (W008). What the other
# hosts of a domain serve, and whether all of it goes into browsers' own lists, its owner says (W005, W021).
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W008", "security.W021"]
LOGIN_URL = "/accounts/login/"
LOGIN_REDIRECT_URL = "/accounts/"
LOGOUT_REDIRECT_URL = "/accounts/login/"
AUTHENTICATION_BACKENDS = ["access.people.backend.SignInBackend"]
ACCOUNT_ADAPTER = "access.people.adapters.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email", "password1*"]
ACCOUNT_FORMS = {"login": "access.people.forms.SignInForm"}
ACCOUNT_EMAIL_VERIFICATION = "optional" if EMAIL_HOST else "none"
ACCOUNT_EMAIL_NOTIFICATIONS = bool(EMAIL_HOST)
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_MAX_EMAIL_ADDRESSES = 5
ACCOUNT_REAUTHENTICATION_REQUIRED = True  # a web session somebody else got hold of changes no way in
ACCOUNT_DEFAULT_HTTP_PROTOCOL = PUBLIC_URL.partition(":")[0]
MFA_ADAPTER = "access.people.adapters.FactorAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not HTTPS
MFA_TOTP_ISSUER = "Clawdbot"
MFA_ALLOW_UNVERIFIED_EMAIL = True
SOCIALACCOUNT_ADAPTER = "access.people.adapters.ProviderAdapter"
SOCIALACCOUNT_EMAIL_AUTHENTICATION = True  # of addresses that both sides have verified: see the adapter
SOCIALACCOUNT_EMAIL_AUTHENTICATION_AUTO_CONNECT = True
SOCIALACCOUNT_PROVIDERS = oidc.provider(
    OIDC_ISSUER, OIDC_CLIENT_ID, OIDC_CLIENT_SECRET, OIDC_NAME, private=OIDC_PRIVATE
)
X_FRAME_OPTIONS = "DENY"

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Clawdbot",
    "SITE_HEADER": "Clawdbot",
    "SITE_SUBHEADER": gettext_lazy("Platform"),
    "SITE_SYMBOL": "forum",
    "SITE_URL": None,
    "STYLES": [lambda request: static("console/console.css")],
    "SCRIPTS": [lambda request: static("console/names.js")],
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "sizes": "any", "href": lambda request: static("console/favicon.svg")}
    ],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_LANGUAGES": False,
    "SIDEBAR": {
        "show_search": True,
        "show_all_applications": False,
        "navigation": "access.console.navigation.platform",
    },
}

UNFOLD_CONSOLE = {
    **UNFOLD,
    "SITE_SUBHEADER": gettext_lazy("Console"),
    "SIDEBAR": {**UNFOLD["SIDEBAR"], "navigation": "access.console.tenant.navigation.tenant"},
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "access.errors.exception_handler",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Clawdbot",
    "VERSION": VERSION,
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "POSTPROCESSING_HOOKS": ["access.openapi.describe"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}
SIMPLE_JWT = {
    "ALGORITHM": "HS256",
    "SIGNING_KEY": JWT_KEYS.all()[0],  # only for who asks simplejwt itself: tenants.tokens signs with KEYS
    "KEYS": JWT_KEYS,
    "ISSUER": "clawdbot",
    "AUDIENCE": "clawdbot-api",
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=15),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=7),
    "UPDATE_LAST_LOGIN": False,
}

STORE_PRIVATE = env.flag("STORE_PRIVATE", True)
LIMIT_PORTIONS = env.flag("LIMIT_PORTIONS", True)
WEBHOOK_PRIVATE = env.flag("WEBHOOK_PRIVATE", False)
ALERT_SECONDS = env.seconds("ALERT_SECONDS", 60, low=1, high=600)
ALERT_DAYS = env.whole("ALERT_DAYS", 90, low=1)
WEBHOOK_FAILING_DAYS = env.whole("WEBHOOK_FAILING_DAYS", 5, low=1, high=365)
QUEUE_PRIVATE = env.flag("QUEUE_PRIVATE", False)
QUEUE_TRANSPORTS = env.words("QUEUE_TRANSPORTS", "amqp,amqps,redis,rediss,valkey,valkeys")
DATABASE_PRIVATE = env.flag("DATABASE_PRIVATE", False)
DATABASE_FOLDER = Path(env.text("DATABASE_FOLDER")).resolve() if env.text("DATABASE_FOLDER") else None

# Traces and metrics for a collector, by OpenTelemetry's own names ---------------------------------------------------
OTEL_EXPORTER_OTLP_ENDPOINT = env.text("OTEL_EXPORTER_OTLP_ENDPOINT").rstrip("/")
OTEL_EXPORTER_OTLP_TRACES_ENDPOINT = env.text("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
OTEL_EXPORTER_OTLP_METRICS_ENDPOINT = env.text("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT")
OTEL_EXPORTER_OTLP_HEADERS = env.words("OTEL_EXPORTER_OTLP_HEADERS")
OTEL_TRACES_EXPORTER = env.choice("OTEL_TRACES_EXPORTER", "otlp", ("otlp", "none"))
OTEL_METRICS_EXPORTER = env.choice("OTEL_METRICS_EXPORTER", "otlp", ("otlp", "none"))
OTEL_TRACES_SAMPLER = env.choice("OTEL_TRACES_SAMPLER", "parentbased_always_on", telemetry.SAMPLERS)
OTEL_TRACES_SAMPLER_ARG = env.text("OTEL_TRACES_SAMPLER_ARG")
OTEL_METRIC_EXPORT_INTERVAL = env.whole("OTEL_METRIC_EXPORT_INTERVAL", 60_000, low=100)  # milliseconds
OTEL_BSP_MAX_QUEUE_SIZE = env.whole("OTEL_BSP_MAX_QUEUE_SIZE", 2048, low=1)  # spans
OTEL_BSP_SCHEDULE_DELAY = env.whole("OTEL_BSP_SCHEDULE_DELAY", 5000, low=10)  # milliseconds
OTEL_SERVICE_NAME = env.text("OTEL_SERVICE_NAME", "clawdbot")
OTEL_RESOURCE_ATTRIBUTES = env.words("OTEL_RESOURCE_ATTRIBUTES")
OTEL_SDK_DISABLED = env.flag("OTEL_SDK_DISABLED", False)
TRACE_UPSTREAM = env.flag("TRACE_UPSTREAM", False)

LOGGING = logs.logging_config(
    LOG_LEVEL,
    LOG_FORMAT,
    secrets=[
        *(SECRET_KEY, *SECRET_KEY_FALLBACKS, *JWT_KEYS.all(), *(key.strip() for key in MASTER_KEY.split(","))),
        *(SIGNING_KEY, METRICS_TOKEN, API_KEY, EMAIL_HOST_PASSWORD, OIDC_CLIENT_SECRET),
        *(env.text("REDIS_PASSWORD"), env.text("OBJECT_STORE_SECRET_KEY")),
        *(database.get("PASSWORD", "") for database in [*DATABASES.values(), JOURNAL_WRITER or {}]),
        *databases.passwords([*VALKEY_NODES, BROKER_URL, CHANNEL_URL, CACHE_URL]),
        *(header.partition("=")[2] for header in OTEL_EXPORTER_OTLP_HEADERS),
    ],
)
