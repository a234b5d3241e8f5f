"""Append-only files of checksummed frames."""

from hanok.stores.frames.files import FrameFile, read_frames

__all__ = ["FrameFile", "read_frames"]
