"""What a Python program asks of the Symbi runtime that runs it.

    import symbi

    reports = symbi.input_path("reports")
    symbi.progress(40, "reading")
    symbi.result({"strikes": 10000})

Params, inputs and the result are files; the rest are calls to the runtime over
the socket in SYMBI_SOCKET. The standard library is all that is needed.
"""

import http.client
import json
import os
import pathlib
import socket
import time
import urllib.parse

__all__ = [
    "Error", "Absent", "Busy", "attempt", "checkpoint", "input_bytes", "input_path",
    "output_path", "params", "progress", "result", "save_checkpoint", "task",
]

MAX_CHECKPOINT = 1 << 20
_PATIENCE = 30  # seconds for the runtime to be back when it restarts
_PAUSE = 0.2


class Error(Exception):
    """The runtime refused or did not answer; str() says why."""

    def __init__(self, message, status=0):
        super().__init__(message)
        self.status = status


class Absent(Error):
    """There is no such thing."""


class Busy(Error):
    """It was asked too often; wait a second."""


def params():
    """The task's parameters, a dict, with the manifest's defaults filled in."""
    return json.loads(_file("SYMBI_PARAMS").read_text(encoding="utf-8"))


def input_path(name):
    """Where an input lies. Absent if the task was given none of that name."""
    path = _file("SYMBI_INPUT") / name
    if os.sep in name or not path.is_file():
        raise Absent(f"this task has no input {name!r}; it has {sorted(os.listdir(path.parent)) if path.parent.is_dir() else []}", 404)
    return path


def input_bytes(name):
    """An input's content."""
    return input_path(name).read_bytes()


def output_path(name):
    """Where to write an artifact. Folders on the way are made."""
    path = _file("SYMBI_OUTPUT") / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def result(value):
    """Writes the task's result, anything that JSON can hold, in the place of
    an earlier one."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    _file("SYMBI_RESULT").write_text(text, encoding="utf-8")


def attempt():
    """Which attempt of the task this is, 1 for the first."""
    return int(_variable("SYMBI_ATTEMPT"))


def task():
    """This task as a dict: namespace, agent, task, attempt, params, inputs."""
    return json.loads(_call("GET", "/v1/task"))


def progress(percent, message=""):
    """Says how far the work is, 0 to 100. What comes more often than ten times
    a second is dropped, so that it can stand in a loop."""
    body = json.dumps({"percent": float(percent), "message": message}).encode()
    try:
        _call("POST", "/v1/progress", body, "application/json")
    except Busy:
        pass


def checkpoint():
    """What save_checkpoint kept last, in this attempt or an earlier one, as
    bytes; None if nothing was kept."""
    try:
        return _call("GET", "/v1/checkpoint")
    except Absent:
        return None


def save_checkpoint(data):
    """Keeps up to 1 MiB for the next attempt. Once a second is often enough;
    more often, this waits."""
    if len(data) > MAX_CHECKPOINT:
        raise Error(f"the checkpoint has {len(data)} bytes, and may have {MAX_CHECKPOINT}", 413)
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            _call("PUT", "/v1/checkpoint", bytes(data), "application/octet-stream")
            return
        except Busy:
            if time.monotonic() > end:
                raise
            time.sleep(_PAUSE)


def _variable(name):
    value = os.environ.get(name)
    if not value:
        raise Error(f"{name} is not set: this is not a Symbi sandbox; run the program with `symbi run` or `symbi agent run`")
    return value


def _file(name):
    return pathlib.Path(_variable(name))


class _Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("symbi", timeout=_PATIENCE)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _call(method, route, body=None, media_type=None):
    """Makes one call. While the runtime restarts nobody listens on the socket;
    it is tried again, for what was not sent whole was not done."""
    path = _variable("SYMBI_SOCKET")
    end = time.monotonic() + _PATIENCE
    while True:
        connection = _Connection(path)
        try:
            try:
                connection.connect()
            except OSError as e:
                if time.monotonic() > end:
                    raise Error(f"the runtime does not answer: {e}", 503) from e
                time.sleep(_PAUSE)
                continue
            try:
                connection.request(method, urllib.parse.quote(route), body, {"Content-Type": media_type} if media_type else {})
                answer = connection.getresponse()
                content = answer.read()
            except (OSError, http.client.HTTPException) as e:
                raise Error(f"the runtime broke off: {e}", 503) from e
            if answer.status < 300:
                return content
            raise _problem(answer.status, content)
        finally:
            connection.close()


def _problem(status, content):
    try:
        detail = json.loads(content)["detail"]
    except (ValueError, KeyError, TypeError):
        detail = content.decode("utf-8", "replace")
    return {404: Absent, 429: Busy}.get(status, Error)(detail, status)
