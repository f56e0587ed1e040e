"""Everything that an operator can do, over the rooms that do it."""

from dataclasses import dataclass
from datetime import timedelta

from storecredit.billing.assembly import Billing
from storecredit.generation.erasure import Erasure
from storecredit.generation.results.store import ResultStore
from storecredit.ledger.credits import Credits
from storecredit.ledger.owners import Owner
from storecredit.operator.audit import ActionContext, AuditLog
from storecredit.operator.audit_entries import AuditEntries
from storecredit.operator.billing import BillingActions
from storecredit.operator.credits import CreditActions
from storecredit.operator.portal_links import PortalLinks
from storecredit.operator.sign_ins import SignIns
from storecredit.operator.stores import StoreActions
from storecredit.operator.tokens import AdminTokens
from storecredit.operator.users import UserActions
from storecredit.operator.verifications import Verifications
from storecredit.operator.webhooks import OperatedDeliveries, OperatedEndpoints, OperatedWebhooks
from storecredit.postgres.buckets import Buckets
from storecredit.postgres.listener import Listener
from storecredit.settings import Settings
from storecredit.stores.api_keys import CHANNEL, ApiKeys
from storecredit.stores.stores import Stores
from storecredit.users.directory import UserDirectory


@dataclass(frozen=True, slots=True)
class OperatorActions:
    """What doors of the operator call: each action is one transaction and one entry."""

    webhooks: OperatedWebhooks
    audit: AuditLog
    audit_entries: AuditEntries
    stores: StoreActions
    credits: CreditActions
    users: UserActions
    tokens: AdminTokens
    sign_ins: SignIns
    portal_links: PortalLinks
    verifications: Verifications

    @classmethod
    def over(cls, buckets: Buckets, results: ResultStore, settings: Settings) -> "OperatorActions":
        """The actions over one database."""
        database = buckets.home
        audit = AuditLog(buckets)
        credits = Credits(buckets, timedelta(days=settings.refund_grace_days))
        stores = Stores(buckets, tiers=settings.rate_limits)
        # It listens to nothing: who acts authenticates nobody by it, so nothing is cached.
        api_keys = ApiKeys(buckets, Listener(database, CHANNEL))
        users = UserActions(UserDirectory(buckets), Erasure(buckets, results, settings), audit)
        sign_ins = SignIns(buckets, settings)
        return cls(
            OperatedWebhooks(buckets, audit),
            audit,
            AuditEntries(buckets),
            StoreActions(buckets, stores, api_keys, credits, audit),
            CreditActions(buckets, credits, audit),
            users,
            AdminTokens(database, audit),
            sign_ins,
            PortalLinks(sign_ins, audit),
            Verifications(buckets, settings, audit),
        )

    def billing(self, billing: Billing) -> BillingActions:
        """Those about money, over what is on sale."""
        return BillingActions(billing, self.audit)

    def endpoints(self, context: ActionContext, owner: Owner | None) -> OperatedEndpoints:
        """The webhook endpoints of a store, or (None) of the operator, for one action."""
        return self.webhooks.endpoints(context, owner)

    def deliveries(self, context: ActionContext, owner: Owner | None) -> OperatedDeliveries:
        """The deliveries to them, likewise."""
        return self.webhooks.deliveries(context, owner)
