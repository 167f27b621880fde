"""What every member of a door keeps, as checks that tests and `python -m trm.contract` call: a module a door."""

from trm.errors import InputError


class ContractError(InputError):
    """A member of a door does not keep what the door's contract asks."""


def require(holds: bool, problem: str, *, remedy: str) -> None:
    """ContractError with rule, value and remedy unless the rule `holds`."""
    if not holds:
        raise ContractError(problem, remedy=remedy)
