"""Recordings on disk: images, videos; reading and writing."""
