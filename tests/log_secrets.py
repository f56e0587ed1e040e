"""What no log line may say: what looks like a secret, and what a test has sent or was given as one.

Shapes are known of keys, tokens, addresses of people, links and images. Of prompts, of tokens that
a test made up, and of image URLs of any form it is known because they were sent: every request of
a client of httpx is looked at, the service's own among them, and so are the commands of our pages.
"""

import re
from typing import Final
from urllib.parse import unquote

import httpx

SHAPES: Final = (
    ("an API key", "sc_live_", r"sc_live_[0-9A-Za-z]{30,}"),
    ("an API key", "wk_", r"\bwk_[0-9A-Za-z]{16,}"),
    ("an operator's token", "sc_admin_", r"sc_admin_[0-9A-Za-z]{20,}"),
    ("a secret of webhooks", "whsec_", r"whsec_[0-9A-Za-z+/=]{16,}"),
    ("a key of Paddle", "_apikey_", r"pdl_(?:live|sdbx)_apikey_\w{8,}"),
    ("a secret of Paddle", "pdl_ntfset_", r"pdl_ntfset_\w{8,}"),
    ("a token of an end user", ".eyJ", r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}"),
    ("what a request carries as its key", "Bearer", r"\bBearer +[^\s\"'<…$]{8,}"),
    ("a link that signs somebody in", "/sign-in/", r"/sign-in/[\w-]{16,}"),
    ("a link to a result", "/results/", r"/results/[^\s\"]*[?&]signature="),
    ("somebody's address", "@", r"[\w.+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}\b"),
    ("an image", "data:image/", r"data:image/[a-z+]+;base64,"),
    ("an image's URL", "http", r"https?://[^\s\"'<>]+\.(?:png|jpe?g|webp|gif|avif)\b"),
    ("a password", "postgres", r"postgres(?:ql)?://[^\s:@/\"]+:(?!password@)[^\s:@/\"]+@"),
)
"""What it is, what is in every one of them, and its form."""
TOLD_ONE_WHO_ASKS: Final = {
    *("a link that signs somebody in", "somebody's address", "an image's URL", "a prompt"),
}
"""What a command may say to whoever called it, and no log line."""
_SHAPES: Final = tuple((what, hint, re.compile(shape)) for what, hint, shape in SHAPES)
BEFORE_HINT: Final = 200
AFTER_HINT: Final = 1000
"""So far a form is looked for around what is in it: whatever the text, the time is short."""
BODY_MAX: Final = 65_536
"""Bytes or characters, what is looked at of a body: images make it longer."""
SECRET_MIN: Final = 10
PROMPT_MIN: Final = 5
"""Shorter ones may stand in any sentence by chance."""
_TEXT: Final = r'"((?:[^"\\]|\\.)*)"'
_PROMPT: Final = re.compile(r'\\?"prompt\\?"\s*:\s*' + _TEXT)
_IMAGES: Final = re.compile(r'\\?"(?:image_urls?|images)\\?"\s*:\s*\[?\s*' + _TEXT)
_KEY: Final = re.compile(r"authorization: bearer ([^\s\"']+)", re.IGNORECASE)
# A request's id is logged as it came, so that it can be found, whatever its sender took for one.
_REQUEST_ID: Final = re.compile(r'"request_id": ?' + _TEXT + r"|\brequest_id=(?:'[^']*'|\S+)")


class Remembered:
    """What one test has sent, or was given, that is no log's business."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    def forget(self) -> None:
        self._values.clear()

    def sent(self, text: str) -> None:
        """Keep the prompts, images and keys that a body, a raw request or a command says."""
        text = text[:BODY_MAX]
        for key in _KEY.findall(text):
            self._secret(key, "what a request carries as its key")
        for prompt in _PROMPT.findall(text):
            if len(prompt) >= PROMPT_MIN and " " in prompt:
                self._values[prompt] = "a prompt"
        for url in _IMAGES.findall(text):
            if url.startswith("http") and "/" in url.removeprefix("https://"):
                self._values[url] = "an image's URL"

    def request(self, request: httpx.Request) -> None:
        """Keep what a request carries."""
        headers = request.headers
        kind, _, credential = headers.get("authorization", "").partition(" ")
        self._secret(credential or kind, "what a request carries as its key")
        for cookie in headers.get("cookie", "").split(";"):
            self._secret(cookie.partition("=")[2].strip(), "a cookie")
        try:
            content = request.content
        except httpx.RequestNotRead:
            return
        if b"prompt" in content or b"image" in content:
            self.sent(content[:BODY_MAX].decode(errors="replace"))

    def response(self, response: httpx.Response) -> None:
        """Keep the cookies that were given."""
        for given in response.headers.get_list("set-cookie"):
            self._secret(given.partition(";")[0].partition("=")[2], "a cookie")

    def _secret(self, value: str, what: str) -> None:
        if len(value) >= SECRET_MIN:
            self._values[unquote(value)] = what

    def found_in(self, text: str, *, is_log: bool = True) -> str | None:
        """What a text of log lines, or of a command's words, gives away; None: nothing."""
        may_be_told = frozenset[str]() if is_log else TOLD_ONE_WHO_ASKS
        text = _REQUEST_ID.sub("", text) if "request_id" in text else text
        for what, hint, shape in _SHAPES:
            place = -1 if what in may_be_told else text.find(hint)
            while place >= 0:
                match = shape.search(text, max(0, place - BEFORE_HINT), place + AFTER_HINT)
                if match is not None:
                    return f"{what}: {_line(text, match.start())}"
                place = text.find(hint, place + AFTER_HINT - 2 * BEFORE_HINT)
        for value, what in self._values.items():
            if what not in may_be_told and (place := text.find(value)) >= 0:
                return f"{what}: {_line(text, place)}"
        return None


def _line(text: str, place: int) -> str:
    begin = text.rfind("\n", 0, place) + 1
    end = text.find("\n", place)
    return text[begin : end if end >= 0 else None][:2000]
