"""Checksummed frames in append-only files."""

from hanok.stores.frames.files import FrameFile, owned, read_contents, read_frame, read_frames
from hanok.stores.frames.format import UNNUMBERED, Contents, Damage, Frame

__all__ = [
    "UNNUMBERED",
    "Contents",
    "Damage",
    "Frame",
    "FrameFile",
    "owned",
    "read_contents",
    "read_frame",
    "read_frames",
]
