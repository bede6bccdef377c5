"""Token ids in and out, for many sequences at once: contract in `interface`, state in `scheduler`, loop in `engine`."""
