"""Where values are, and how their bytes are read: locations, blobs, ranges, archives."""
