"""What of a network learns: the rest asks for no gradient."""

from torch import nn

from trm.config.optimizers import OptimConfig


def freeze(network: nn.Module, config: OptimConfig) -> list[nn.Parameter]:
    """Has the parameters that `config` does not train ask for no gradient; those that it trains, in their order.

    One that a network made without a gradient stays so. Torch folds products by who asks for a gradient: a network answers with the
    bits of its training only when it is frozen alike.
    """
    for name, parameter in network.named_parameters():
        if not config.is_trained(name):
            parameter.requires_grad_(False)
    return [parameter for name, parameter in network.named_parameters() if config.is_trained(name)]
