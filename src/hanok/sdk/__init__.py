"""The Python client: the same verbs in process and over HTTP."""
