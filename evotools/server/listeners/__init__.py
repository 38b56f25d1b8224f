"""One module per protocol: bind, accept, ask `access`, and join peers to the hub."""
