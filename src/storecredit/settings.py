"""Every setting, in one frozen value with defaults that work.

A setting comes from a command-line flag, else the environment (`STORECREDIT_` and the field's name
in capitals), else the default here. Names carry their unit last.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, IPvAnyNetwork, SecretStr, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from storecredit.object_storage.addresses import S3_SCHEME, BucketAddress

HOUR_SECONDS = 3600.0
_ORIGIN = re.compile(r"https?://(?:\*\.)?[a-z0-9.-]+(?::[0-9]{1,5})?")
_KEY = re.compile(r"[0-9a-fA-F]{64}")
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
PORT_MAX = 65535
BUCKET_LINK_SECONDS_MAX = 7 * 24 * 3600
"""A presigned URL's, in Signature Version 4 (Amazon S3, "Sharing objects with presigned URLs")."""
IDLE_CONNECTION_SECONDS = 3660
"""Longer than load balancers keep theirs, or a request of theirs meets a closed connection.

AWS's application load balancer keeps 60 s (its idle timeout), nginx 60 s (keepalive_timeout of an
upstream), Google's 600 s (backend keepalive timeout), Cloudflare 900 s (proxy idle timeout), Envoy
an hour (idle_timeout): as their documentation said in 2026.
"""


ForwardedHeader = Literal["x-forwarded-proto", "x-forwarded-host", "forwarded"]


class _Environment(EnvSettingsSource):
    """The environment's settings. Where it has none, none of a hundred fields is looked into."""

    def __call__(self) -> dict[str, Any]:
        prefix = self.env_prefix.lower()
        names = {f"{prefix}{name}" for name in self.settings_cls.model_fields}
        return {} if names.isdisjoint(self.env_vars) else super().__call__()


class Settings(BaseSettings):
    """The configuration of one storecredit process."""

    model_config = SettingsConfigDict(env_prefix="STORECREDIT_", frozen=True, extra="forbid")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What the caller says, else the environment: no files."""
        del env_settings, dotenv_settings, file_secret_settings
        return init_settings, _Environment(settings_cls)

    # Where it listens
    host: str = "127.0.0.1"
    """Address to serve on."""
    port: int = Field(default=8080, ge=0, le=PORT_MAX)
    """Port to serve on; 0 takes a free one."""
    processes: int = Field(default=1, ge=1, le=64)
    """API processes that share the address; one of them runs the worker too."""
    listen_fd: int | None = Field(default=None, ge=3)
    """The descriptor of a listening socket that another process passed on: serve on it."""
    parent_pid: int | None = Field(default=None, ge=1)
    """The process that started this one as one of its `processes`; stop when it is gone."""
    process_number: int = Field(default=0, ge=0)
    """Which of its `processes` another process started this one as; the first one is 0."""
    metrics_dir: Path | None = None
    """Where the processes that share an address count together."""
    metrics_address: str | None = None
    """`host:port` of `/metrics` alone; unset: beside the API, and a worker by itself has none."""
    worker: bool = True
    """Whether `serve` also runs queued generations."""
    public_url: str | None = None
    """Base of links handed out: results, sign-ins, purchases; unset: the address that was asked."""
    trusted_proxies: Annotated[tuple[IPvAnyNetwork, ...], NoDecode] = ()
    """Proxies whose `forwarded_headers` links follow: addresses or networks; comma-separated."""
    forwarded_headers: Annotated[tuple[ForwardedHeader, ...], NoDecode] = ("x-forwarded-proto",)
    """Those the proxies set themselves: x-forwarded-proto, x-forwarded-host, forwarded."""

    # Where it keeps things
    data_dir: Path = Path("data")
    """Embedded PostgreSQL and, unless `results` says where else, result images live here."""
    results: str | None = None
    """An S3 bucket for the result images, `s3://bucket/prefix`; unset: files in `data_dir`."""
    results_link_endpoint: str | None = None
    """Where callers reach that S3 bucket, by its links; unset: where this service does."""
    database_url: SecretStr | None = None
    """An external PostgreSQL 15 or later, as your provider prints it; unset: the embedded one."""
    database_wait_seconds: float = Field(default=60.0, ge=0)
    """How long `serve` and `worker` wait at their start for an external database that is away."""
    wal_archive: Path | None = None
    """Keeps all that the embedded PostgreSQL writes, to restore to any moment; unset: not kept."""
    redis_url: SecretStr | None = None
    """Shared rate limits for several processes; unset: counted in this process's memory."""

    # Who may operate it
    admin_token: SecretStr | None = None
    """Of `/api/admin` and `/console`; unset: only tokens of `storecredit token create` let in."""

    # End users (B2C): tokens are of the kinds that are configured, whatever they say themselves
    jwt_secret: SecretStr | None = Field(default=None, min_length=1)
    """HS256 secret of the end users' tokens; neither this nor `jwks_url`: `/api/trpc` is off."""
    jwks_url: str | None = None
    """Where the public keys of the end users' tokens are; beside `jwt_secret` while it is left."""
    jwks_algorithms: Annotated[tuple[str, ...], NoDecode] = ("RS256", "ES256", "EdDSA")
    """Algorithms a key behind `jwks_url` may be of; comma-separated in the environment."""
    jwt_audience: str = "authenticated"
    """Audience that a token must name."""
    jwt_issuer: str | None = None
    """Issuer that a token must name; unset: any."""
    starter_credits: int = Field(default=10, ge=0, le=1_000_000)
    """Credits of a new end user."""
    anonymous_starter_credits: bool = True
    """Whether users whose token says `is_anonymous` have them, too; 0: once it no longer does."""
    trpc_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Web origins whose pages may call `/api/trpc`; comma-separated in the environment."""

    # Billing (Paddle): off unless both secrets are set
    paddle_api_key: SecretStr | None = None
    """API key of Paddle Billing."""
    paddle_api_url: str = "https://api.paddle.com"
    """Paddle's API; its sandbox is https://sandbox-api.paddle.com."""
    paddle_webhook_secret: SecretStr | None = None
    """Signs Paddle's webhooks to `/webhooks/paddle`; comma-separated while it is replaced."""
    paddle_webhook_tolerance_seconds: int = Field(default=5, ge=5, le=300)
    """How far the clock in a webhook's signature may be from ours."""
    paddle_timeout_seconds: float = Field(default=30.0, gt=0)
    """Time limit of one request to Paddle."""
    buy_url: str | None = None
    """Where your stores buy credits, told with each 402; unset: the checkout, if billing is on."""
    plans_file: Path | None = None
    """The catalogue (TOML): plans, packs, what a generation costs; unset: storecredit's own."""
    billing_attempts: int = Field(default=24, ge=1, le=100)
    """Attempts at an event of Paddle's before it is set aside for the operator."""
    billing_backoff_seconds: float = Field(default=2.0, ge=0)
    """Wait before the second attempt at an event or charge; doubled each time, an hour at most."""
    billing_interval_seconds: float = Field(default=60.0, gt=0)
    """How often events without a job, and overage to bill, are looked for."""
    top_up_interval_seconds: float = Field(default=5.0, gt=0)
    """How often stores are looked for whose balance asks for a top-up."""
    charge_settle_seconds: float = Field(default=600.0, gt=0)
    """How long a charge to a subscription whose answer was lost may take to be listed at Paddle."""

    # Credits
    refund_grace_days: int = Field(default=30, ge=0, le=3650)
    """How long credits live on that come back when what they were taken from has expired."""
    expiring_notice_days: int = Field(default=7, ge=1, le=365)
    """How long before credits expire webhooks are told of it: `credits.expiring`."""

    # Group commit
    commit_lanes: int = Field(default=2, ge=1, le=64)
    """Batches of creates that may be under way at once; a store always uses the same lane."""
    commit_batch_max: int = Field(default=64, ge=1, le=5000)
    """Requests in one transaction, at most; a quarter for each store while there are several."""
    commit_waiting_max: int = Field(default=5000, ge=1)
    """Requests waiting for a batch, at most; then 503."""
    commit_deadline_seconds: float = Field(default=10.0, gt=0)
    """How long a request is tried while the database is away; then 503."""
    pool_max: int = Field(default=8, ge=2, le=200)
    """Database connections for reads in a bucket, at most; group commits have one each besides."""

    # Requests
    idle_connection_seconds: int = Field(default=IDLE_CONNECTION_SECONDS, ge=1, le=86_400)
    """How long an idle connection is kept; longer than the load balancer in front keeps its own."""
    connection_drain_seconds: float = Field(default=0, ge=0, le=300)
    """How long a stop waits for requests on idle connections; longer than the proxy keeps them."""
    body_max_bytes: int = Field(default=4 * 1024 * 1024, ge=1024)
    """Size of a request body, at most; then 413."""
    rate_limits: dict[str, tuple[int, int] | None] = {
        "default": (5, 50),
        "starter": (10, 100),
        "growth": (30, 500),
        "scale": (100, 2000),
        "enterprise": (500, 10_000),
        "unlimited": None,
    }
    """Creates allowed per (minute, hour), by tier; null: no limit. As JSON in the environment."""
    rate_limit_spend_factor: int = Field(default=20, ge=1)
    """Spends, their refunds and holds have a budget of their own: this many times the creates."""
    rate_limit_read_factor: int = Field(default=20, ge=1)
    """Reads have a budget of their own: this many times the creates."""
    rate_limit_fail_open: bool = True
    """While Redis is away: true lets requests through (logged), false answers 503."""

    # Generations
    generator: str = "collage"
    """Who makes the images: collage, http, openai, or an installed entry point."""
    generator_url: str | None = None
    """Where the http generator sends its requests."""
    generator_attempts: int = Field(default=3, ge=1, le=20)
    """Attempts at one generation; then it is failed and refunded."""
    generator_backoff_seconds: float = Field(default=1.0, ge=0)
    """Wait before the second attempt; doubled before each further one."""
    generation_timeout_seconds: float = Field(default=120.0, gt=0)
    """Time limit of one attempt."""
    generation_deadline_seconds: float = Field(default=HOUR_SECONDS, gt=0)
    """A generation that has not ended this long after its creation is failed and refunded."""
    worker_concurrency: int | None = Field(default=None, ge=1, le=1000)
    """Generations one worker runs at a time; unset: 8, with http 200, with openai 32."""
    worker_heartbeat_timeout_seconds: float = Field(default=30.0, gt=0)
    """A worker silent for this long counts as dead; its generations are picked up again."""
    worker_drain_seconds: float = Field(default=30.0, ge=0)
    """How long a stopping worker may finish what it has begun."""
    sweep_interval_seconds: float = Field(default=10.0, gt=0)
    """How often sessions, results and expiries that nobody looks after are looked for."""
    sums_interval_seconds: float = Field(default=10.0, gt=0)
    """How often what has happened is counted into the sums that charts are drawn from."""
    blocked_terms: Annotated[tuple[str, ...], NoDecode] = ()
    """Moderation of the collage generator; comma-separated in the environment."""
    openai_api_key: SecretStr | None = None
    """Key of the openai generator."""
    openai_base_url: str | None = None
    """Address of the openai generator; unset: OpenAI's own."""
    openai_model: str = "gpt-image-2.5-flare"
    """Model of the openai generator."""
    allow_private_hosts: bool = False
    """Let URLs of images and webhooks point at private, loopback and link-local addresses."""
    image_max_bytes: int = Field(default=25 * 1024 * 1024, ge=1024)
    """Size of one input or result image, at most; a phone's 48 megapixels come to 10 to 20 MB."""
    image_fetch_timeout_seconds: float = Field(default=15.0, gt=0)
    """Time limit of fetching one input image, redirects included."""

    # Webhooks (what is told to stores and the operator); the worker sends them
    webhook_timeout_seconds: float = Field(default=15.0, gt=0, le=20)
    """Time limit of one attempt at a delivery, until its answer has come whole."""
    webhook_concurrency: int = Field(default=1024, ge=1, le=10_000)
    """Deliveries under way at a time, at most; an eighth of `ulimit -n` if that is less."""
    webhook_endpoint_concurrency: int = Field(default=64, ge=1, le=1000)
    """Of one endpoint, at most; of one that is failing, four."""

    # Results
    result_retention_seconds: float = Field(default=6 * HOUR_SECONDS, gt=0)
    """How long a result image is kept."""
    generator_message_retention_seconds: float = Field(default=168 * HOUR_SECONDS, gt=0)
    """How long a generator's own words about a failure are kept; they may quote the prompt."""
    result_link_seconds: float = Field(default=900.0, gt=0)
    """How long a link to a result image works."""
    signing_key: SecretStr | None = Field(default=None, min_length=16)
    """Signs result links and cookies of sign-ins; unset: a random one kept in `data_dir`."""

    # Checkpoints: what the ledger was, signed
    checkpoint_interval_seconds: float = Field(default=600.0, gt=0)
    """How often movements are chained and a checkpoint of all ledgers is signed."""
    checkpoint_key: SecretStr | None = None
    """Signs checkpoints (Ed25519): 64 hexadecimal digits; unset: a random one in `data_dir`."""
    checkpoint_old_keys: Annotated[tuple[str, ...], NoDecode] = ()
    """Public keys that checkpoints were signed by before; comma-separated, 64 digits each."""

    # The archive: generations that ended long ago
    sessions_kept_days: int | None = Field(default=None, ge=1, le=36_500)
    """How long generations are kept after their end, then archived; unset: for ever."""
    archive: str | None = Field(default=None, min_length=1)
    """Where they are archived: a directory or s3://bucket/prefix; a process without it does not."""
    archive_interval_seconds: float = Field(default=600.0, gt=0)
    """How often generations to archive are looked for."""

    # The store's own pages (`/portal`)
    portal_frame_ancestors: Annotated[tuple[str, ...], NoDecode] = ()
    """Web origins whose pages may show `/portal` within theirs, over https; comma-separated."""
    portal_accent: str | None = None
    """Colour of buttons and charts there, like #0a7d5a; unset: ours."""
    portal_background: str | None = None
    """Colour of the page there, which is light or dark as that is; unset: ours."""

    # Telemetry
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe log lines to write."""
    log_format: Literal["auto", "json", "console"] = "auto"
    """auto: readable on a terminal, JSON lines elsewhere."""

    @field_validator(
        "blocked_terms",
        "checkpoint_old_keys",
        "forwarded_headers",
        "jwks_algorithms",
        "portal_frame_ancestors",
        "trpc_origins",
        "trusted_proxies",
        mode="before",
    )
    @classmethod
    def _split_terms(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(term.strip() for term in value.split(",") if term.strip())
        return value

    @field_validator("metrics_address")
    @classmethod
    def _host_and_port(cls, value: str | None) -> str | None:
        host, _, port = (value or "localhost:0").rpartition(":")
        if not host or not port.isdecimal() or int(port) > PORT_MAX:
            raise ValueError("it is a host and a port, like 127.0.0.1:9090 or [::1]:9090")
        return value

    @field_validator("public_url", "results_link_endpoint")
    @classmethod
    def _web_address(cls, value: str | None) -> str | None:
        if not value:
            return None
        try:
            address = urlsplit(value)
            is_whole = address.scheme in {"http", "https"} and bool(address.hostname)
        except ValueError:
            is_whole = False
        if not is_whole:
            raise ValueError("it is an address with its scheme, like https://credits.example")
        return value

    @field_validator("results")
    @classmethod
    def _bucket(cls, value: str | None) -> str | None:
        return str(BucketAddress.read(value)) if value else None

    @field_validator("portal_frame_ancestors")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if _ORIGIN.fullmatch(origin) is None:
                raise ValueError("it is origins like https://shop.example, without a path")
        return value

    @field_validator("portal_accent", "portal_background")
    @classmethod
    def _colour(cls, value: str | None) -> str | None:
        if value and _COLOUR.fullmatch(value) is None:
            raise ValueError("it is a colour like #0a7d5a")
        return value or None

    @field_validator("checkpoint_key")
    @classmethod
    def _private_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and _KEY.fullmatch(value.get_secret_value()) is None:
            raise ValueError("it is 64 hexadecimal digits, as `openssl rand -hex 32` prints them")
        return value

    @field_validator("checkpoint_old_keys")
    @classmethod
    def _public_keys(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(_KEY.fullmatch(each) for each in value):
            raise ValueError("each is 64 hexadecimal digits, as `storecredit checkpoint key` says")
        return value

    @field_validator("archive")
    @classmethod
    def _place(cls, value: str | None) -> str | None:
        if value and value.startswith(S3_SCHEME):
            BucketAddress.read(value)
        return value

    @model_validator(mode="after")
    def _archiving_needs_a_place(self) -> Self:
        if self.sessions_kept_days is not None and self.archive is None:
            raise ValueError("set STORECREDIT_ARCHIVE beside STORECREDIT_SESSIONS_KEPT_DAYS")
        return self

    @model_validator(mode="after")
    def _charges_settle_after_their_request(self) -> Self:
        # One request may take twice its time limit: until the answer begins, and until it ends.
        if self.charge_settle_seconds < 2 * self.paddle_timeout_seconds:
            raise ValueError(
                "set STORECREDIT_CHARGE_SETTLE_SECONDS to at least twice "
                "STORECREDIT_PADDLE_TIMEOUT_SECONDS"
            )
        return self

    @model_validator(mode="after")
    def _a_bucket_signs_for_a_week(self) -> Self:
        if self.results and self.result_link_seconds > BUCKET_LINK_SECONDS_MAX:
            raise ValueError(
                "an S3 bucket's links work for a week at most: set STORECREDIT_RESULT_LINK_SECONDS "
                f"to {BUCKET_LINK_SECONDS_MAX} or less"
            )
        return self

    @property
    def serves_users(self) -> bool:
        """Whether end users can be told apart, and so be served."""
        return self.jwt_secret is not None or self.jwks_url is not None
