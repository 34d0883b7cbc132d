"""A test of the kit: right plugins, faulty ones made from them, and the share that is caught."""
