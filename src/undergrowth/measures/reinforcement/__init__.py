"""Which example pushes which component, and how far examples push alike."""
