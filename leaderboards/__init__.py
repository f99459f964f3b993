"""Results to leaderboards; reads only the results store."""
