"""What other programs read: tables, checkpoints, trackers' files, crates; one file a format."""
