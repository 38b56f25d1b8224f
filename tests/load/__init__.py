"""A server under many viewers: load, slow readers, publishers that come and go, memory over time."""
