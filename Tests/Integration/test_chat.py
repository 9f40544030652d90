"""`martlet chat` in a terminal: lines are edited and come back, a paste keeps its line breaks."""

import contextlib
import os
import pty
import select
import signal
import time

import pytest
from conftest import MARTLET, MODEL


class Chat:
    def __init__(self):
        self.process, self.terminal = pty.fork()
        if self.process == 0:
            os.environ["TERM"] = "xterm"
            os.execv(MARTLET, [MARTLET, "chat", MODEL, "--max-tokens", "4", "--temperature", "0"])

    def type(self, keys, until):
        """Sends keys, and reads until the terminal shows a text."""
        os.write(self.terminal, keys.encode())
        shown, end = b"", time.monotonic() + 30
        while until.encode() not in shown:
            assert time.monotonic() < end, shown[-500:]
            if select.select([self.terminal], [], [], 0.1)[0]:
                shown += os.read(self.terminal, 65536)
        return shown.decode()


@pytest.fixture
def chat():
    chat = Chat()
    yield chat
    # Only after a failure is it still there.
    with contextlib.suppress(ProcessLookupError):
        os.kill(chat.process, signal.SIGKILL)


def test_lines_are_edited(chat):
    chat.type("", "> ")
    chat.type("Name a colur.\x1b[D\x1b[D\x1b[Do", "Name a colour.")
    chat.type("\r", "length")
    chat.type("\x1b[A", "Name a colour.")
    chat.type("\x15\x1b[200~one\r\n日本\x1b[201~", "one⏎日本")
    chat.type("\x03", "Ctrl-D leaves")
    os.write(chat.terminal, b"\x04")
    assert os.waitstatus_to_exitcode(os.waitpid(chat.process, 0)[1]) == 0
