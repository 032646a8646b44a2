"""The shape of weights and of the loss around them."""
