"""Everything for TLS terminators: bundles of chain and key, files, and the check that they serve them; and whether a
name leads to them, and whose it is (`ownership`)."""
