"""Where the workers of a gang meet."""

import os
from unittest.mock import MagicMock, call

import pytest
from ray.train.torch.config import _TorchBackend

from trm.cluster.interfaces import LOOPBACK, interface_of, meet_at, meet_at_node
from trm.cluster.train_gang import MeetingConfig


def test_the_interface_is_the_one_that_has_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GLOO_SOCKET_IFNAME", raising=False)
    assert interface_of("192.0.2.1") is None
    meet_at("192.0.2.1")
    assert "GLOO_SOCKET_IFNAME" not in os.environ, "gloo looks for itself where nobody knows better"
    meet_at(LOOPBACK)
    assert os.environ["GLOO_SOCKET_IFNAME"] == interface_of(LOOPBACK) is not None


def test_who_names_an_interface_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "ib0")
    meet_at(LOOPBACK)
    assert os.environ["GLOO_SOCKET_IFNAME"] == "ib0"


def test_trains_workers_know_where_to_meet_before_they_do(monkeypatch: pytest.MonkeyPatch) -> None:
    workers = MagicMock()
    monkeypatch.setattr(_TorchBackend, "on_start", lambda self, group, config: group.execute("the process group"))
    MeetingConfig(backend="gloo").backend_cls().on_start(workers, MeetingConfig())
    assert workers.execute.mock_calls == [call(meet_at_node), call("the process group")]
