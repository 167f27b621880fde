"""serve.py before anything is opened: who may ask where it listens, and what is refused at once."""

from pathlib import Path

import pytest

from trm.errors import ConfigError
from trm.jobs import serve
from trm.jobs.serve import TOKEN_FILE, ServeOptions, is_loopback, rules_of, run_serve
from trm.serving.guard import LOOPBACK_NAMES, digest_of
from trm.serving.token import TOKEN_VARIABLE


def test_others_are_let_in_by_a_token_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    assert [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "127.8.8.8", "0.0.0.0", "::", "10.0.0.1", "lab")] == [
        *[True] * 4,
        *[False] * 4,
    ]
    here, said = rules_of(ServeOptions("x", storage=str(tmp_path), allowed_hosts=("Lab",)))
    assert (here.hosts, here.token_digest, said) == ((*LOOPBACK_NAMES, "lab"), None, "")
    assert rules_of(ServeOptions("x", host="127.8.8.8"))[0].hosts == (*LOOPBACK_NAMES, "127.8.8.8")
    assert not (tmp_path / TOKEN_FILE).exists()
    there, said = rules_of(ServeOptions("x", host="0.0.0.0", storage=str(tmp_path)))
    token = (tmp_path / TOKEN_FILE).read_text().strip()
    assert there.token_digest == digest_of(token)
    assert there.hosts is None
    assert str(tmp_path / TOKEN_FILE) in said
    assert token not in said


def test_a_token_that_is_given_is_asked_for_on_this_machine_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, token := "a-token-of-this-test")
    here, said = rules_of(ServeOptions("x", storage=str(tmp_path)))
    assert (here.hosts, here.token_digest) == (LOOPBACK_NAMES, digest_of(token))
    assert TOKEN_VARIABLE in said
    assert token not in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("origin", ["*", "null", "https://lab.org/", "lab.org", "https://*.lab.org"])
def test_an_origin_that_no_browser_sends_or_every_page_has_is_refused(origin: str) -> None:
    assert rules_of(ServeOptions("x", origins=("https://Lab.org:8443", "http://[::1]")))[0].origins == (
        "https://lab.org:8443",
        "http://[::1]",
    )
    with pytest.raises(ConfigError, match="scheme, host and port without a path"):
        rules_of(ServeOptions("x", origins=(origin,)))


@pytest.mark.parametrize("name", ["lab:8000", "http://lab", "::1", ""])
def test_another_name_of_the_server_is_a_name_alone(name: str) -> None:
    with pytest.raises(ConfigError, match="without scheme and port"):
        rules_of(ServeOptions("x", allowed_hosts=(name,)))


def test_replicas_without_the_extra_are_refused_with_the_way_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "SERVE_NEEDS", ("no_such_module",))
    with pytest.raises(ConfigError, match=r"which is not installed; pip install 'trm-search\[serve\]'"):
        run_serve(ServeOptions("x", replicas=2))
