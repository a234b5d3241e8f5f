"""TFDV's schema and statistics messages, without TensorFlow or protobuf: text and bytes, there and back."""

from hanok.wire.tfdv.binary import from_bytes, to_bytes
from hanok.wire.tfdv.messages import Message
from hanok.wire.tfdv.text import from_text, to_text, unpacked

__all__ = ["Message", "from_bytes", "from_text", "to_bytes", "to_text", "unpacked"]
