"""Training: one loop, and the stages that it trains."""
