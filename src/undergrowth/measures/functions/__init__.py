"""Which functions networks compute: of many at a time, untrained or trained."""
