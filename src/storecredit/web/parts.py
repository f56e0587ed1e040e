"""What the handlers work with: one value, made by the composition root."""

from dataclasses import dataclass

from storecredit.billing.bookings import Bookings
from storecredit.billing.catalogue import Catalogue
from storecredit.billing.checkouts import Checkouts
from storecredit.billing.paddle.events import PaddleEvents
from storecredit.billing.paddle.signature import Signatures
from storecredit.billing.problems import Problems
from storecredit.billing.subscriptions import Subscriptions
from storecredit.billing.top_ups import TopUps
from storecredit.generation.archived import Archives
from storecredit.generation.endings import Endings
from storecredit.generation.erasure import Erasure
from storecredit.generation.lifecycle import Lifecycle
from storecredit.generation.results.links import ResultLinks
from storecredit.generation.results.store import ResultStore
from storecredit.generation.sessions import Sessions
from storecredit.ledger.balance_reads import BalanceReads
from storecredit.ledger.checkpoints.proofs import Proofs
from storecredit.ledger.courses import Courses
from storecredit.ledger.credits import Credits
from storecredit.ledger.grants import Grants
from storecredit.ledger.hold_records import HoldRecords
from storecredit.ledger.holds import Holds
from storecredit.ledger.owner_pages import OwnerPages
from storecredit.ledger.pace import Pace
from storecredit.ledger.sent_along import SentAlong
from storecredit.ledger.spending import Spending
from storecredit.operator.actions import OperatorActions
from storecredit.operator.billing import BillingActions
from storecredit.operator.live import Live
from storecredit.operator.overview import Overviews
from storecredit.operator.owner_names import OwnerNames
from storecredit.operator.report import Reports
from storecredit.operator.requests import Requests
from storecredit.postgres.pool import Database
from storecredit.settings import Settings
from storecredit.stores.api_keys import ApiKeys
from storecredit.stores.rate_limits import RateLimits
from storecredit.stores.stores import Stores
from storecredit.telemetry import Metrics
from storecredit.users.directory import UserDirectory
from storecredit.users.tokens import Tokens
from storecredit.users.users import Users
from storecredit.web.gauges import Gauges
from storecredit.webhooks.delivery_records import DeliveryRecords
from storecredit.webhooks.endpoints import Endpoints


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a running service that HTTP handlers call."""

    settings: Settings
    metrics: Metrics
    gauges: Gauges
    database: Database
    stores: Stores
    api_keys: ApiKeys
    rate_limits: RateLimits
    credits: Credits
    balances: BalanceReads
    courses: Courses
    pace: Pace
    owner_pages: OwnerPages
    holds: Holds
    hold_records: HoldRecords
    sent_along: SentAlong
    grants: Grants
    tokens: Tokens
    users: Users
    user_directory: UserDirectory
    erasure: Erasure
    sessions: Sessions
    archives: Archives
    proofs: Proofs
    endings: Endings
    live: Live
    requests: Requests
    reports: Reports
    overviews: Overviews
    operator: OperatorActions
    billing_actions: BillingActions
    owner_names: OwnerNames
    lifecycle: Lifecycle
    spending: Spending
    results: ResultStore
    result_links: ResultLinks
    catalogue: Catalogue
    checkouts: Checkouts
    subscriptions: Subscriptions
    top_ups: TopUps
    paddle_events: PaddleEvents
    problems: Problems
    bookings: Bookings
    signatures: Signatures | None
    endpoints: Endpoints
    delivery_records: DeliveryRecords
