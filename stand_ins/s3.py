"""S3 as a client sees it: objects in one bucket, in memory, as Amazon's API reference describes it.

ListObjectsV2, GetObject, PutObject, DeleteObjects and multipart uploads
(https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html).
Who has not signed with the secret is refused, in a header or by an address that has expired.
"""

import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from stand_ins import s3_signatures
from stand_ins.http_server import Answer, Received

BUCKET = "backups"
ACCESS_KEY, SECRET_KEY = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
PAGE_MAX = 3
"""Amazon's is 1000; a small one is met by every list."""
WRITTEN_AT = "2026-11-30T05:00:00.000Z"


class S3:
    """The handler of a stand-in: one bucket."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.content_types: dict[str, str] = {}
        self.ahead = timedelta()
        """By how much its clock is ahead of this machine's."""
        self.refuse: Callable[[Received], bool] = lambda _: False
        """What a test has fail, with a status that is not worth another try."""
        self.kept: frozenset[str] = frozenset()
        """What nobody may delete."""
        self._uploads: dict[str, dict[int, bytes]] = {}

    @staticmethod
    def variables(endpoint: str) -> dict[str, str]:
        """What a client's environment has."""
        return {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": "eu-central-1",
        }

    def __call__(self, request: Received) -> Answer:
        """Answer a request."""
        parts = urlsplit(request.path)
        said = {
            name: values[0]
            for name, values in parse_qs(parts.query, keep_blank_values=True).items()
        }
        _, bucket, *below = unquote(parts.path).split("/", 2)
        now = datetime.now(UTC) + self.ahead
        refused = s3_signatures.refusal(request, ACCESS_KEY, SECRET_KEY, now)
        if refused is not None:
            return error(HTTPStatus.FORBIDDEN, refused)
        if self.refuse(request):
            return error(HTTPStatus.FORBIDDEN, "AccessDenied")
        if bucket != BUCKET:
            return error(HTTPStatus.NOT_FOUND, "NoSuchBucket")
        key = below[0] if below else ""
        if not key:
            return self._list(said) if request.method == "GET" else self._delete(request.body)
        if request.method == "GET":
            return self._get(key)
        return self._put(request, key, said)

    def _list(self, said: Mapping[str, str]) -> Answer:
        after = said.get("continuation-token", "")
        matching = [key for key in sorted(self.objects) if key.startswith(said.get("prefix", ""))]
        page = [key for key in matching if key > after][:PAGE_MAX]
        more = bool(page) and page[-1] != matching[-1]
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>{WRITTEN_AT}</LastModified>"
            f"<ETag>{_etag(self.objects[key])}</ETag><Size>{len(self.objects[key])}</Size></Contents>"
            for key in page
        )
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        return _xml(
            "ListBucketResult",
            f"<Name>{BUCKET}</Name><KeyCount>{len(page)}</KeyCount><MaxKeys>{PAGE_MAX}</MaxKeys>"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{contents}{token}",
        )

    def _get(self, key: str) -> Answer:
        if key not in self.objects:
            return error(HTTPStatus.NOT_FOUND, "NoSuchKey")
        content = self.objects[key]
        head = {
            "Content-Type": self.content_types.get(key, "binary/octet-stream"),
            "ETag": _etag(content),
            "Last-Modified": "Mon, 30 Nov 2026 05:00:00 GMT",
        }
        return Answer(body=content, headers=head)

    def _put(self, request: Received, key: str, said: Mapping[str, str]) -> Answer:
        if "uploads" in said:
            upload = f"upload-{len(self._uploads)}"
            self._uploads[upload] = {}
            return _xml("InitiateMultipartUploadResult", f"<UploadId>{upload}</UploadId>")
        if "partNumber" in said:
            self._uploads[said["uploadId"]][int(said["partNumber"])] = request.body
        elif "uploadId" in said:
            parts = self._uploads.pop(said["uploadId"])
            if request.method == "POST":
                self.objects[key] = b"".join(parts[number] for number in sorted(parts))
                return _xml("CompleteMultipartUploadResult", f"<ETag>{_etag(b'')}</ETag>")
        else:
            self.objects[key] = request.body
            if "content-type" in request.headers:
                self.content_types[key] = request.headers["content-type"]
        return Answer(headers={"ETag": _etag(request.body)})

    def _delete(self, body: bytes) -> Answer:
        keys = [
            each.text or ""
            for each in ET.fromstring(body).iter()  # noqa: S314 - of our own client's requests
            if each.tag.rpartition("}")[2] == "Key"
        ]
        for key in set(keys) - self.kept:
            self.objects.pop(key, None)
        outcomes = (
            f"<Error><Key>{escape(key)}</Key><Code>AccessDenied</Code>"
            "<Message>Access Denied</Message></Error>"
            if key in self.kept
            else f"<Deleted><Key>{escape(key)}</Key></Deleted>"
            for key in keys
        )
        return _xml("DeleteResult", "".join(outcomes))


def _etag(content: bytes) -> str:
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def _xml(name: str, content: str) -> Answer:
    namespace = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
    text = f'<?xml version="1.0" encoding="UTF-8"?><{name} {namespace}>{content}</{name}>'
    return Answer(body=text.encode(), headers={"Content-Type": "application/xml"})


def error(status: HTTPStatus, code: str) -> Answer:
    """A refusal in S3's form."""
    text = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>"
    return Answer(status, text.encode(), {"Content-Type": "application/xml"})
