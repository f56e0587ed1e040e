"""storecredit from Python: prepaid credits, spent once, whatever becomes of the connection.

`Client`, and `AsyncClient` for `async` code, have a method for each call. What they give is in
`models`, what they raise in `errors`. `calls` and `webhook_calls` make calls to be
sent later, or again; `webhooks.verified` reads what the service sends.
"""

from storecredit_client.async_client import AsyncClient
from storecredit_client.client import Client
from storecredit_client.errors import (
    ApiError,
    GenerationNotEnded,
    NoAnswer,
    StorecreditError,
    UnexpectedAnswer,
    WebhookRefused,
)
from storecredit_client.exchange import Answer
from storecredit_client.models import ErrorCode, FailureCode, SpendItem
from storecredit_client.retrying import RetryPolicy
from storecredit_client.version import VERSION

__all__ = [
    "Answer",
    "ApiError",
    "AsyncClient",
    "Client",
    "ErrorCode",
    "FailureCode",
    "GenerationNotEnded",
    "NoAnswer",
    "RetryPolicy",
    "SpendItem",
    "StorecreditError",
    "UnexpectedAnswer",
    "WebhookRefused",
    "__version__",
]

__version__ = VERSION
