"""``gradwire health``: the kernel's word on whether somebody listens, without a connection."""

import socket

import pytest

from gradwire.deploy import cli
from gradwire.deploy.commands.health import listening_ports


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_healthy_while_somebody_listens(
    family: socket.AddressFamily, host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.bind((host, 0))
        port = listener.getsockname()[1]
        assert cli.call(["health", "--port", str(port)]) == 1  # bound alone
        assert capsys.readouterr().err == f"gradwire: no process listens on port {port} of this host\n"
        listener.listen()
        assert cli.call(["health", "--port", str(port)]) == 0
        listener.settimeout(0.0)
        with pytest.raises(BlockingIOError):  # nobody has connected
            listener.accept()
    assert port not in listening_ports()


def test_a_connection_from_that_port_is_nobody_listening() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as connection,
    ):
        assert connection.getsockname()[1] not in listening_ports()
