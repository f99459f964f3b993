"""One model on one list of episodes: the plan, the pixels, the cache, the masks, the counts."""
