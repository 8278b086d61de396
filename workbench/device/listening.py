"""A simulated board behind a socket, in real time: for another process or another machine.

    with listening(SimulatorOptions(), port=0) as server:
        link = SerialLink(server.url)

One host at a time, as a board has one port; the board lives on while nobody is connected.
"""

import logging
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from workbench.device.clock import RealTime
from workbench.device.options import SimulatorOptions
from workbench.device.simulator import SimulatedBoard, SimulatorLink
from workbench.errors import DeviceError

logger = logging.getLogger(__name__)

_TURN_SECONDS = 0.05  # between looks at whether to end
_READ_BYTES = 4096


class Listener:
    """A socket that a simulated board is behind.

    Attributes:
        board: It.
        url: Where a link finds it.
    """

    def __init__(self, server: socket.socket, board: SimulatedBoard) -> None:
        """Put a board behind a socket that listens."""
        self.board = board
        host, port = server.getsockname()[:2]
        self.url = f"socket://{host}:{port}"
        self._server = server
        self._link = SimulatorLink(board, time=RealTime())
        self._closing = threading.Event()

    def serve(self) -> None:
        """Serve one host after another, until it is closed."""
        self._server.settimeout(_TURN_SECONDS)
        while not self._closing.is_set():
            self._link.read(0)  # the board lives on
            with suppress(TimeoutError):
                connection, address = self._server.accept()
                logger.info("%s is connected", address)
                with connection, suppress(OSError):
                    self._serve_one(connection)

    def close(self) -> None:
        """Let `serve` end soon."""
        self._closing.set()

    def _serve_one(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while not self._closing.is_set():
            if said := self._link.read(0):
                connection.sendall(said)
            word = max(0.001, min(self._link.next_word_seconds(), _TURN_SECONDS))
            ready, _, _ = select.select([connection], [], [], word)
            if ready:
                data = connection.recv(_READ_BYTES)
                if not data:
                    return
                self._link.write(data)


@contextmanager
def listening(
    options: SimulatorOptions | None = None, *, host: str = "127.0.0.1", port: int = 0
) -> Iterator[Listener]:
    """Serve a simulated board on a socket while the block lasts.

    Args:
        options: What board it is.
        host: Address to listen at.
        port: Port to listen at; 0 takes a free one.

    Raises:
        DeviceError: The address cannot be listened at.
    """
    try:
        server = socket.create_server((host, port))
    except OSError as error:
        raise DeviceError(
            f"{host}:{port}: cannot be listened at ({error}); take another"
        ) from error
    with server:
        listener = Listener(server, SimulatedBoard(options))
        thread = threading.Thread(target=listener.serve, name="simulator", daemon=True)
        thread.start()
        try:
            yield listener
        finally:
            listener.close()
            thread.join(5.0)
