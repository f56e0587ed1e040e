"""What a caller may keep with its request: short texts by name, returned as they were sent."""

from typing import Annotated, Final

import msgspec

from storecredit.web.http.openapi import said

METADATA_MAX: Final = 20
METADATA_TEXT_MAX: Final = 500

Text = Annotated[str, msgspec.Meta(max_length=METADATA_TEXT_MAX)]
"""A short string of metadata."""
Metadata = Annotated[
    Annotated[dict[Text, Text], msgspec.Meta(max_length=METADATA_MAX)] | None,
    said("Yours: returned as it was sent."),
]
"""What a store keeps with a request of its own."""
