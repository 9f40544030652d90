"""`martlet chat` in a terminal: lines are edited and come back, a paste keeps its line breaks."""

import fcntl
import os
import pty
import select
import signal
import subprocess
import termios
import time

import pytest
from conftest import MARTLET, MODEL


class Chat:
    def __init__(self):
        # The other side stays open here: a terminal that nobody has open forgets how it was set.
        self.terminal, self.other_side = pty.openpty()
        self.modes = termios.tcgetattr(self.other_side)
        self.process = subprocess.Popen(
            [MARTLET, "chat", MODEL, "--max-tokens", "4", "--temperature", "0"], stdin=self.other_side,
            stdout=self.other_side, stderr=self.other_side, start_new_session=True, env={**os.environ, "TERM": "xterm"},
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))

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
    chat.process.kill()
    chat.process.wait(10)
    os.close(chat.terminal)
    os.close(chat.other_side)


def test_lines_are_edited(chat):
    chat.type("", "> ")
    assert termios.tcgetattr(chat.other_side) != chat.modes
    chat.type("Name a colur.\x1b[D\x1b[D\x1b[Do", "Name a colour.")
    chat.type("\r", "length")
    chat.type("\x1b[A", "Name a colour.")
    chat.type("\x15\x1b[200~one\r\n日本\x1b[201~", "one⏎日本")
    chat.type("\x03", "Ctrl-D leaves")
    os.write(chat.terminal, b"\x04")
    assert chat.process.wait(10) == 0
    assert termios.tcgetattr(chat.other_side) == chat.modes


def test_signals_leave_the_terminal_as_it_was(chat):
    chat.type("", "> ")
    chat.process.send_signal(signal.SIGTERM)
    assert chat.process.wait(10) == 128 + signal.SIGTERM
    assert termios.tcgetattr(chat.other_side) == chat.modes
