"""NNI's manager, as `nnictl` and `nni.experiment` start it: `python -m hanok.sdk.nni --port 8080 ...`.

nnictl gives up when nothing listens within three seconds. So the port is opened before anything else is imported: who
connects meanwhile waits.
"""

import socket
import sys

BACKLOG = 128


def listen(words: list[str]) -> socket.socket:
    """Raises OSError where the port is taken, ValueError where none is named."""
    port = int(words[words.index("--port") + 1])
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("127.0.0.1", port))
    made.listen(BACKLOG)
    return made


if __name__ == "__main__":
    try:
        listening = listen(sys.argv[1:])
    except (OSError, ValueError, IndexError) as error:
        sys.exit(f"the port of the experiment cannot be opened: {error}")
    from hanok.sdk.nni.manager import main

    sys.exit(main(sys.argv[1:], listening))
