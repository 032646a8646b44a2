"""Articles that play stored runs: a story is a list of scenes, each with its data, drawing and prose."""
