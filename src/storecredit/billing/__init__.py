"""Money comes in: the catalogue, checkouts, what Paddle tells us, and overage billed afterwards."""
