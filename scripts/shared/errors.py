"""The one exception that stands for a mistake a user can mend."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something in the user's data, config or machine is not as it must be.

    The message is one sentence for a person: which file, row, column or key, what was expected, and what to do. It is
    shown without a traceback. A defect of this project must never be raised as a UserError.
    """


def did_you_mean(wrong: str, allowed: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the nearest allowed name, or an empty string.

    >>> did_you_mean("loan_amont", ["loan_amnt", "person_age"])
    " (did you mean 'loan_amnt'?)"
    >>> did_you_mean("zzz", ["loan_amnt"])
    ''
    """
    by_folded = {name.casefold(): name for name in allowed}
    near = difflib.get_close_matches(wrong.casefold(), by_folded, n=1)
    return f" (did you mean '{by_folded[near[0]]}'?)" if near else ""


def listing(names: Iterable[object], limit: int = 12) -> str:
    """Join names for a sentence, the first few only.

    >>> listing(["a", "b", "c"], limit=2)
    'a, b and 1 more'
    """
    shown = [str(name) for name in names]
    rest = len(shown) - limit
    return ", ".join(shown[:limit]) + (f" and {rest} more" if rest > 0 else "")
