"""Append-only files of checksummed frames."""

from hanok.stores.frames.files import FrameFile, owned, read_frame, read_frames

__all__ = ["FrameFile", "owned", "read_frame", "read_frames"]
