"""What components serve for: generality, the sets that carry a prediction, deletion."""
