#!/usr/bin/env bash
# uvicorn 0.54.0 on uvloop 0.23.0 resets connections that wait to be let in when it is told to stop.
#
# A graceful stop finishes the requests under way. A client whose connection the kernel has completed, and which has sent
# its request, waits in the listening socket's line until the loop lets it in. Told to stop, uvicorn closes that socket
# first. asyncio's own loop has let in whoever waited in the same turn; uvloop, which lets in one a turn and begins with
# timers, comes to nobody, and all in line are reset, with requests that nobody has read. `pip install uvicorn[standard]`
# brings uvloop along. Where another process has the socket, too (a supervisor's), they stay in line for it.
#
# Seen: of 5 in line 0 are answered, 5 are reset (asyncio: 5 answered). Expected: 5. Fails if what is seen changes.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check uvicorn==0.54.0 uvloop==0.23.0

cat >"$folder/stop.py" <<'PYTHON'
import asyncio
import socket
import time

import uvicorn
import uvloop

WAITING = 5
ASKED = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


async def application(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


async def main():
    listening = socket.create_server(("127.0.0.1", 0), backlog=16)
    address = listening.getsockname()
    config = uvicorn.Config(application, log_level="critical", lifespan="off", timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    while not server.started:
        await asyncio.sleep(0)
    # The loop is busy with a request of somebody's while they come and the signal arrives.
    server.should_exit = True
    waiting = [socket.create_connection(address, timeout=5) for _ in range(WAITING)]
    for each in waiting:
        each.sendall(ASKED)
    time.sleep(0.3)
    await serving
    answered = reset = 0
    for each in waiting:
        try:
            answered += each.recv(100).startswith(b"HTTP/1.1 200")
        except ConnectionResetError:
            reset += 1
        each.close()
    print(f"uvicorn {uvicorn.__version__}: of {WAITING} in line {answered} answered, {reset} reset")
    assert (answered, reset) == (0, WAITING), "it treats who waits in line otherwise than before"


with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    runner.run(main())
PYTHON
"$folder/venv/bin/python" "$folder/stop.py"
