"""Pictures of episodes and of episode lists."""
