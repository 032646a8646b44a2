"""Scenes: each a file with its data and prose, and beside it one of the same name with its drawing."""
