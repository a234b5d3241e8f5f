"""The version of this Hanok."""

VERSION = "0.1.0"
