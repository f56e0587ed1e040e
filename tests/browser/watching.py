"""What a page does that no page of ours may do, noted while a test uses it."""

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from playwright.async_api import BrowserContext, ConsoleMessage, Request, Response, WebError

LOUD: Final = {"error", "warning", "assert"}
BROKEN_OFF: Final = "net::ERR_ABORTED"
"""What Chromium says of a request whose page was left, or whose answer became a download."""

POLICY_SCRIPT: Final = """
addEventListener("securitypolicyviolation", (event) => console.error(
    `policy violated: ${event.effectiveDirective} by ${event.blockedURI} ${event.sample}`));
"""


# No slots: Playwright 1.65.2 keeps something of its own on whose methods it calls.
@dataclass
class Watch:
    """The faults of all pages of one browser context.

    `allow()` says which statuses of answers a test is about; all others from 400 on are faults, as
    are whatever is said on the console as an error or a warning, a violated policy, an exception
    that nobody caught, a request that failed, and one to another origin than these.
    """

    origins: set[str]
    faults: list[str] = field(default_factory=list)
    _allowed: set[int] = field(default_factory=set)

    def allow(self, *statuses: int) -> None:
        """Answers with these statuses are what the test is about."""
        self._allowed.update(statuses)

    def assert_faultless(self) -> None:
        """That nothing was noted so far."""
        assert self.faults == [], "\n".join(self.faults)

    async def begin(self, context: BrowserContext) -> None:
        """Note what happens in this context from now on."""
        await context.add_init_script(POLICY_SCRIPT)
        context.on("console", self._said)
        context.on("weberror", self._raised)
        context.on("request", self._asked)
        context.on("requestfailed", self._failed)
        context.on("response", self._answered)

    def _said(self, message: ConsoleMessage) -> None:
        # Answers are judged by their status; the console tells of each once more.
        of_a_status = message.text.startswith("Failed to load resource: the server responded")
        if message.type in LOUD and not of_a_status:
            self.faults.append(f"console {message.type}: {message.text}")

    def _raised(self, error: WebError) -> None:
        self.faults.append(f"exception: {error.error.message}")

    def _asked(self, request: Request) -> None:
        if not self._is_ours(request.url):
            self.faults.append(f"asked elsewhere: {request.method} {request.url}")

    def _failed(self, request: Request) -> None:
        if self._is_ours(request.url) and request.failure != BROKEN_OFF:
            self.faults.append(f"failed: {request.method} {request.url}: {request.failure}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400 and response.status not in self._allowed:
            request = response.request
            self.faults.append(f"answered {response.status}: {request.method} {response.url}")

    def _is_ours(self, url: str) -> bool:
        parts = urlsplit(url)
        inside = parts.scheme in {"data", "blob", "about"}
        return inside or f"{parts.scheme}://{parts.netloc}" in self.origins
