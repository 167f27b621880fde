"""What of a network learns: the rest asks for no gradient."""

from torch import nn

from trm.config.optimizers import OptimConfig


def freeze(network: nn.Module, config: OptimConfig) -> list[nn.Parameter]:
    """Has the parameters that `config` does not train ask for no gradient; those that are left, in their order.

    Torch folds products by who asks for a gradient: a network answers with the bits of its training only when it is frozen alike.
    """
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(config.is_trained(name))
    return [parameter for parameter in network.parameters() if parameter.requires_grad]
