"""What can be expected to go wrong, each in a sentence for people and with its exit status.

Whatever `expected` does not know is a defect: its traceback is shown.
"""

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from storecredit.cli.options import flag_of, variable_of
from storecredit.cli.output import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from storecredit.ledger.owners import Owner
    from storecredit.stores.stores import Store

FAILED: Final = 1
MISUSED: Final = 2


class Failed(Exception):
    """What was asked cannot be done; the message is a sentence for people."""


class Misused(Exception):
    """What was asked makes no sense as it stands; the message is a sentence for people."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A sentence to print, and the exit status that goes with it."""

    sentence: str
    status: int = FAILED


def unknown_store(store: object) -> Failed:
    """No store has this id, name or domain."""
    return Failed(f"There is no store {shown(store)}. `storecredit store list` lists them.")


def unknown_user(user_id: object) -> Failed:
    """No end user has this id."""
    return Failed(f"There is no end user {user_id}. `storecredit user list` lists them.")


def unknown_owner(owner: "Owner") -> Failed:
    """No store or end user, whichever is meant, has this id."""
    return unknown_user(owner.id) if owner.kind.value == "user" else unknown_store(owner.id)


def ambiguous_store(store: str, candidates: "Sequence[Store]") -> Misused:
    """Several stores have this name or domain."""
    listed = "; ".join(
        f"{each.store_id} ({shown(each.name)}, {shown(each.shop_domain)})" for each in candidates
    )
    return Misused(
        f"Several stores are called {shown(store)}: {listed}. "
        "Give the id of the one that is meant. Nothing was changed."
    )


def expected(error: Exception) -> Problem | None:
    """What to say about an error; None: nobody expected it."""
    # Imported here: what fails is loaded by then, and a command that does not fail needs none.
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    match error:
        case Failed():
            return Problem(str(error))
        case Misused():
            return Problem(str(error), MISUSED)
        case ValidationError():
            return Problem(_wrong_settings(error), MISUSED)
        case SettingsError():
            return Problem(_unreadable_setting(error), MISUSED)
        case ValueError() if str(error).startswith(variable_of("")):
            # A room that checks a setting of its own names the variable.
            return Problem(str(error), MISUSED)
        case OSError() if error.filename is not None:
            reason = error.strerror or type(error).__name__
            return Problem(f"{os.fsdecode(error.filename)} cannot be used: {reason}.")
        case _:
            return _of_the_database(error) or _of_a_backup(error) or _of_the_service(error)


def _of_the_database(error: Exception) -> Problem | None:
    from storecredit.postgres.embedded.embedded_postgres import EmbeddedPostgresError
    from storecredit.postgres.errors import (
        CommitInDoubt,
        DatabaseMisconfigured,
        DatabaseUnavailable,
        StatementRefused,
    )

    match error:
        case DatabaseMisconfigured() | EmbeddedPostgresError():
            return Problem(str(error))
        case CommitInDoubt():
            advice = "It is done unless a failover undoes it: look, before you run this again."
            return Problem(f"{error}. {advice}")
        case DatabaseUnavailable():
            advice = "Check that it runs, and that the database URL names it."
            return Problem(f"{str(error).rstrip('.')}. {advice}")
        case StatementRefused():
            return Problem(f"The database refuses: {error}. Nothing was changed.")
        case _:
            return None


def _of_a_backup(error: Exception) -> Problem | None:
    from storecredit.backups.names import NoSuchBackup, PlaceUnusable
    from storecredit.backups.restoring import CannotRestore
    from storecredit.postgres.programs.base_backup import DamagedBackup
    from storecredit.postgres.programs.client_programs import ProgramFailed
    from storecredit.postgres.programs.recovery import TargetNotReached
    from storecredit.postgres.programs.wal_archive import ArchiveUnusable

    match error:
        case TargetNotReached() | ArchiveUnusable():
            return Problem(f"{error} Nothing was restored.")
        case DamagedBackup() | NoSuchBackup() | PlaceUnusable() | CannotRestore() | ProgramFailed():
            return Problem(str(error))
        case _:
            return None


def _of_the_service(error: Exception) -> Problem | None:
    from storecredit.billing.catalogue import CatalogueError
    from storecredit.billing.paddle.gateway import PaddleMisconfigured
    from storecredit.generation.generators import GeneratorNotConfigured
    from storecredit.ledger.credits import AccountMissing
    from storecredit.ledger.verify import DiscrepancyUnnamed
    from storecredit.object_storage.errors import BucketUnusable
    from storecredit.operator.figures import UnknownMovementType
    from storecredit.processes import CannotListen

    match error:
        case CannotListen() | DiscrepancyUnnamed() | BucketUnusable():
            return Problem(str(error))
        case GeneratorNotConfigured() | CatalogueError() | PaddleMisconfigured():
            return Problem(str(error), MISUSED)
        case UnknownMovementType():
            return Problem(f"No report can be made: {error}.")
        case AccountMissing():
            return Problem(f"{error}. Run `storecredit verify`, and restore it from a backup.")
        case _:
            return None


def _wrong_settings(error: "ValidationError") -> str:
    """A sentence for each wrong setting: variable, flag, reason. No value: it may be secret."""
    sentences = []
    for detail in error.errors(include_input=False, include_url=False, include_context=False):
        message = detail["msg"].removeprefix("Value error, ")
        sentences.append(f"{_wrong(detail['loc'])}: {message[:1].lower()}{message[1:]}.")
    return " ".join(sentences)


def _wrong(place: "tuple[int | str, ...]") -> str:
    if not place:
        return "The settings contradict each other"
    field = str(place[0])
    flag = flag_of(field)
    name = f"{variable_of(field)} ({flag})" if flag else variable_of(field)
    return f"The setting {name} is wrong"


def _unreadable_setting(error: "SettingsError") -> str:
    """Of a variable that holds JSON; the error names its field in quotes, and not its value."""
    found = re.search('field "([a-z_]+)"', str(error))
    name = variable_of(found[1]) if found else "of a variable STORECREDIT_…"
    return f"The setting {name} is wrong: it is not JSON."
