"""Who may ask: token, host, origin; and what every answer carries."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient
from tests.serve.conftest import ADDRESS, TOKEN, guarded

from shiftproof.errors import OptionError
from shiftproof.serve import Exhibit, check_host
from shiftproof.serve._hosts import hosts_of
from shiftproof.serve._server import listen
from shiftproof.serve._worker import Worker

PATHS = ["", "serve.js", "start", "image/0"]


@pytest.mark.parametrize("path", PATHS)
def test_who_has_the_address_is_let_in(client: TestClient, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 200
    assert response.content


@pytest.mark.parametrize("path", [f"/{TOKEN}x/start", "/start", "/", f"/{TOKEN}", f"//{TOKEN}/start", "/é/"])
def test_without_the_token_nothing_is_there(client: TestClient, path: str) -> None:
    response = client.get(f"{ADDRESS}{path}")
    assert response.status_code == 403
    assert TOKEN not in response.text


@pytest.mark.parametrize(
    "host",
    ["evil.example:8765", "127.0.0.1", "127.0.0.1:80", "127.0.0.1:8765.evil.example", "", "192.168.0.1:8765"],
)
def test_a_name_of_somebody_else_is_refused(client: TestClient, host: str) -> None:
    assert client.get("start", headers={"host": host}).status_code == 421


@pytest.mark.parametrize("host", ["localhost:8765", "LOCALHOST:8765", "[::1]:8765"])
def test_other_names_of_this_machine_are_known(client: TestClient, host: str) -> None:
    assert client.get("start", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:8765", ""])
@pytest.mark.parametrize("path", ["plane", "shift", "image"])
def test_pages_of_others_may_not_ask(client: TestClient, origin: str, path: str) -> None:
    asked = {"model": 0, "image": "0"}
    assert client.post(path, json=asked, headers={"origin": origin}).status_code == 403


def test_without_an_origin_nothing_is_computed(shown: Exhibit, worker: Worker) -> None:
    plain = TestClient(guarded(shown, worker), f"{ADDRESS}/{TOKEN}/")
    assert plain.post("plane", json={"model": 0, "image": "0"}).status_code == 403


@pytest.mark.parametrize("path", [*PATHS, "nothing", "/"])
def test_every_answer_carries_the_policy(client: TestClient, path: str) -> None:
    headers = client.get(path if path != "/" else f"{ADDRESS}/").headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "*" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "access-control-allow-origin" not in headers


def test_a_server_for_all_knows_addresses_and_its_own_names() -> None:
    hosts = hosts_of("0.0.0.0", 80)
    assert hosts.allow("192.168.0.7:80")
    assert hosts.allow("[fe80::1]:80")
    assert not hosts.allow("evil.example:80")
    assert not hosts_of("192.168.0.7", 80).allow("192.168.0.8:80")


def test_other_hosts_need_somebody_who_knows() -> None:
    check_host("127.0.0.1", i_know=False)
    check_host("::1", i_know=False)
    check_host("0.0.0.0", i_know=True)
    for host in ("0.0.0.0", "192.168.0.7", "example.org", "::"):
        with pytest.raises(OptionError, match="--i-know"):
            check_host(host, i_know=False)


def test_a_port_in_use_is_passed_over() -> None:
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with listen("127.0.0.1", port) as second:
            assert port < second.getsockname()[1] < port + 50


@pytest.mark.parametrize(
    ("host", "port"), [("127.0.0.1", -1), ("127.0.0.1", 65536), ("no.such.host.invalid", 0)]
)
def test_where_nobody_can_listen(host: str, port: int) -> None:
    with pytest.raises(OptionError, match=r"Expected a port|Cannot listen on the host"):
        listen(host, port)
