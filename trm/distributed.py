"""The workers of one run: who this process is among them, and what they tell each other."""

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class Gang:
    """One process on its own: the rank and every exchange are trivial. `TorchGang` is several."""

    rank: int = 0
    """Which of the workers this process is."""
    world_size: int = 1
    """How many workers share the global batch."""

    @property
    def is_leader(self) -> bool:
        """Whether this process writes files and talks to people."""
        return self.rank == 0

    def share(self, global_size: int) -> slice:
        """This worker's rows of the global batch: row r belongs to rank r // (global size / workers)."""
        local = global_size // self.world_size
        return slice(self.rank * local, (self.rank + 1) * local)

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network to train: its gradients are averaged over the workers during the backward pass."""
        return network

    def all_reduce_sum(self, tensor: Tensor) -> Tensor:
        """Sum over the workers, the same on each; in place where there are several."""
        return tensor

    def all_gather(self, tensor: Tensor) -> Tensor:
        """Rows of all workers in rank order, on each; every worker has the same number of rows."""
        return tensor

    def all_gather_rows(self, tensor: Tensor) -> Tensor:
        """As `all_gather`, when the workers may have different numbers of rows."""
        return tensor

    def gather(self, tensor: Tensor) -> Tensor | None:
        """Rows of all workers in rank order, on the leader only; None on the others."""
        return tensor

    def barrier(self) -> None:
        """Return when every worker has come here."""


SOLO = Gang()
"""The gang of one."""


@dataclass(frozen=True)
class TorchGang(Gang):
    """Workers joined by `torch.distributed` (gloo or NCCL), which the caller has initialised.

    With NCCL the tensors must be on the worker's GPU. Rows travel as bytes where nothing is added, so any dtype will do.
    """

    @classmethod
    def current(cls) -> Gang:
        """The gang of the initialised process group; `SOLO` when there is none or it has one member."""
        if not dist.is_available() or not dist.is_initialized() or dist.get_world_size() == 1:
            return SOLO
        return cls(rank=dist.get_rank(), world_size=dist.get_world_size())

    def wrap(self, network: nn.Module) -> nn.Module:
        """`DistributedDataParallel` around the network; no buffer of ours ever changes, so none is broadcast.

        A network of which nothing is trained stays as it is.
        """
        if not any(parameter.requires_grad for parameter in network.parameters()):
            return network
        return DistributedDataParallel(network, broadcast_buffers=False, gradient_as_bucket_view=True)

    def all_reduce_sum(self, tensor: Tensor) -> Tensor:
        """Sum over the workers, in place."""
        dist.all_reduce(tensor)
        return tensor

    def all_gather(self, tensor: Tensor) -> Tensor:
        """Rows of all workers in rank order."""
        sent = _as_bytes(tensor)
        parts = [torch.empty_like(sent) for _ in range(self.world_size)]
        dist.all_gather(parts, sent)
        return _joined(parts, tensor)

    def all_gather_rows(self, tensor: Tensor) -> Tensor:
        """Rows of all workers in rank order; each may have its own number, zero included."""
        counts = self.all_gather(torch.tensor([len(tensor)], device=tensor.device)).tolist()
        padded = tensor.new_zeros((max(counts), *tensor.shape[1:]))
        padded[: len(tensor)] = tensor
        if not max(counts):
            return tensor
        parts = torch.split(self.all_gather(padded), max(counts))
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    def gather(self, tensor: Tensor) -> Tensor | None:
        """Rows of all workers in rank order on the leader."""
        sent = _as_bytes(tensor)
        parts = [torch.empty_like(sent) for _ in range(self.world_size)] if self.is_leader else None
        dist.gather(sent, parts)
        return _joined(parts, tensor) if parts is not None else None

    def barrier(self) -> None:
        """Return when every worker has come here."""
        dist.barrier()


def _as_bytes(tensor: Tensor) -> Tensor:
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8)


def _joined(parts: list[Tensor], like: Tensor) -> Tensor:
    return torch.cat(parts).view(like.dtype).reshape(-1, *like.shape[1:])
