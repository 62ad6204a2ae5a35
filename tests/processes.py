"""Programs in interpreters of their own: what they print, and whether Ctrl-C stops them."""

import os
import signal
import subprocess
import sys
import textwrap
import time

HANG = 120
# The goal is 0.1 s; a call that does not listen takes many.
STOP_BOUND = 2.0


def python(source, *, env=(), check=True):
    """Run `source` in a fresh interpreter and return its standard output; a hang ends it."""
    # Python 3.12 and later warn of every fork in a process with threads; that it works is what is tested.
    warnings = ["-W", "error", "-W", "ignore:This process:DeprecationWarning"]
    done = subprocess.run(
        [sys.executable, "-P", *warnings, "-c", textwrap.dedent(source)],
        capture_output=True,
        text=True,
        timeout=HANG,
        check=False,
        env={**os.environ, **dict(env)},
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done.stdout


CALLS = """
print("ready", flush=True)
try:
    long()
except KeyboardInterrupt:
    print("interrupted", flush=True)
    short()
    print("alive", flush=True)
"""


def interrupt(source, *, after):
    """Interrupt the function `long` of a program `after` seconds; the pool must then still be good for `short`."""
    command = [sys.executable, "-P", "-c", textwrap.dedent(source) + CALLS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            time.sleep(after)
            assert process.poll() is None
            process.send_signal(signal.SIGINT)
            sent = time.monotonic()
            assert process.stdout.readline() == "interrupted\n"
            assert time.monotonic() - sent < STOP_BOUND
            # Not `communicate`, which passes over what `readline` has already taken out of the pipe.
            out, err = process.stdout.read(), process.stderr.read()
            assert (out, process.wait(HANG)) == ("alive\n", 0), err
        finally:
            process.kill()
