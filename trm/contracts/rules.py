"""How a check says that a rule is broken."""

from trm.errors import ContractError


def require(holds: bool, problem: str, *, remedy: str) -> None:
    """ContractError with rule, value and remedy unless the rule `holds`."""
    if not holds:
        raise ContractError(problem, remedy=remedy)
