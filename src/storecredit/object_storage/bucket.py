"""An S3 bucket, opened: what is asked of it is the library's, what fails becomes a sentence.

Credentials, region and endpoint come from AWS's own variables (AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL, …) or from the machine's role. Promises that a
sentence names neither an object nor a credential, so that it may be logged.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from storecredit.object_storage.addresses import BucketAddress
from storecredit.object_storage.errors import BucketUnusable

RETRIES_MAX: Final = 5
_OF_ONE: Final = "DeleteObjects request failed for key"
_ROLES_AT: Final = "/latest/api/token"
_ENDPOINTS: Final = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT")
_CODE: Final = re.compile(r"<Code>([A-Za-z]{1,64})</Code>|\(code: ([A-Za-z]{1,64})\)")
_STATUS: Final = re.compile(r"status code: ([0-9]{3}(?: [A-Za-z ]+)?)")
_WHERE: Final = re.compile(r"(?:for path|at location|for key|performing) .*?(?=: | - |$)")
_REASONS: Final = {
    "NoSuchBucket": "there is no such bucket",
    "InvalidAccessKeyId": "AWS_ACCESS_KEY_ID is not known there",
    "SignatureDoesNotMatch": "AWS_SECRET_ACCESS_KEY is not that of AWS_ACCESS_KEY_ID",
    "ExpiredToken": "the credentials have expired",
    "AccessDenied": "the credentials do not allow it",
    "AuthorizationHeaderMalformed": "it is in another region than AWS_REGION",
    "PermanentRedirect": "it is in another region than AWS_REGION",
    "RequestTimeTooSkewed": "this machine's clock is wrong",
}


class OpenBucket:
    """What is below `s3://bucket/prefix`: to `store`, names are without the prefix.

    Neither constructing it nor signing asks the server. Raises `ValueError` for what is no
    such address, `BucketUnusable` for settings of AWS's that cannot be.
    """

    def __init__(
        self,
        url: str,
        *,
        request_seconds: float = 60.0,
        retry_seconds: float = 60.0,
        endpoint: str | None = None,
    ) -> None:
        """`request_seconds`: of one request; `retry_seconds`: how long one is begun anew.

        `endpoint`: where the bucket is, in place of what AWS's variables say.
        """
        address = BucketAddress.read(url)
        self.url: Final = str(address)
        _check_endpoint(self.url)
        with self.told():
            self.store: Final = S3Store(
                address.bucket,
                prefix=address.prefix or None,
                client_options={
                    "timeout": timedelta(seconds=request_seconds),
                    # Only an endpoint of the operator's own is of http://.
                    "allow_http": True,
                },
                retry_config={
                    "max_retries": RETRIES_MAX,
                    "retry_timeout": timedelta(seconds=retry_seconds),
                },
                # The one of its names that no other goes before.
                config={"aws_endpoint_url_s3": endpoint} if endpoint else None,
            )

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """Have what fails in this block, of the library's, raise `BucketUnusable`."""
        try:
            yield
        except (BaseError, FileNotFoundError) as error:
            raise BucketUnusable(
                f"{self.url} cannot be used: {reason(error)}.", is_of_one=_OF_ONE in str(error)
            ) from error


def _check_endpoint(url: str) -> None:
    # The library would break at the first request, and say nothing that helps.
    for name in _ENDPOINTS:
        try:
            address = urlsplit(os.environ.get(name) or "https://s3.amazonaws.com")
            is_one = address.scheme in {"http", "https"} and bool(address.hostname)
        except ValueError:
            is_one = False
        if not is_one:
            raise BucketUnusable(
                f"{url} cannot be used: {name} is no address like https://s3.example."
            )


def reason(error: Exception) -> str:
    """Why something of the library's failed, without the names and addresses that it holds."""
    text = str(error)
    if _ROLES_AT in text:
        # Where nobody names a key, the machine's role is asked for at this address.
        return "there are no credentials: set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY"
    found = _CODE.search(text)
    code = (found[1] or found[2]) if found else ""
    if code in _REASONS:
        return _REASONS[code]
    if status := _STATUS.search(text):
        return f"it answers {status[1].strip()}" + (f" ({code})" if code else "")
    if "kind: Timeout" in text:
        return "it does not answer in time"
    if "kind: Connect" in text:
        return "it cannot be reached"
    if "kind: Request" in text:
        return "it breaks the connection off"
    if isinstance(error, (PermissionDeniedError, UnauthenticatedError)):
        return "the credentials are refused"
    first = text.strip().partition("\n")[0]
    return _WHERE.sub("", first).strip(" .") or type(error).__name__
