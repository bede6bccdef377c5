"""Token ids to token ids, for many sequences at once: contract in `interface`, state in `scheduler`, loop in `engine`."""
