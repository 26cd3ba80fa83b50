"""What X is: rows in memory or in blocks, conditions beside them."""
