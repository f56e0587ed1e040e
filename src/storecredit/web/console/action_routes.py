"""The pages of what is done to a store, an end user's credits, webhooks and billing, by address."""

from typing import Any, Final

from storecredit.web.console import keys
from storecredit.web.console.credits import credit_pages

ACTION_PAGES: Final[tuple[Any, ...]] = (
    keys.keys_page,  # GET /stores/{store_id}/keys
    keys.new_key_page,  # GET /stores/{store_id}/keys/new
    keys.make_key,  # POST /stores/{store_id}/keys/new
    keys.key_page,  # GET /stores/{store_id}/keys/{key_id}
    keys.change_key,  # POST /stores/{store_id}/keys/{key_id}
    keys.replace_key_page,  # GET /stores/{store_id}/keys/{key_id}/rotate
    keys.replace_key,  # POST /stores/{store_id}/keys/{key_id}/rotate
    keys.revoke_key_page,  # GET /stores/{store_id}/keys/{key_id}/revoke
    keys.revoke_key,  # POST /stores/{store_id}/keys/{key_id}/revoke
    *credit_pages(),  # GET /stores/{store_id}/credits, GET and POST below it: /add, /remove,
    # /transfer; likewise /users/{user_id}/credits
)
