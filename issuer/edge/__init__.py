"""All that TLS terminators get: bundles of chain and key, files, and the confirmation that they serve them."""
