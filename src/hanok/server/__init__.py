"""The one process: ASGI routes that decode, call one verb, and encode."""
